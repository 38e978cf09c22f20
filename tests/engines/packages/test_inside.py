"""What the program in the container finds changed, and how that becomes a layer."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gitreceive.engines.stacks import inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("usr/bin", "usr/lib/old", "var/log/nginx", "var/cache/apt", "tmp", "etc"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("usr/bin/there", "usr/bin/replaced", "usr/lib/old/a", "etc/passwd"):
        (tmp_path / name).write_text(name)
    return tmp_path


def changes(root: Path, change: Callable[[], object]) -> dict[str, tarfile.TarInfo]:
    before = inside.snapshot(str(root))
    change()
    out = io.BytesIO()
    inside.pack(str(root), before, out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        entries = tar.getmembers()
        assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
        return {entry.name: entry for entry in entries}


def test_only_what_was_added_or_changed_is_in_the_layer_with_the_folders_above(root: Path) -> None:
    def change() -> None:
        (root / "usr/bin/new").write_text("new")
        (root / "usr/bin/replaced").write_text("something else")
        (root / "usr/share/new").mkdir(parents=True)

    entries = changes(root, change)

    assert set(entries) == {"usr", "usr/bin", "usr/bin/new", "usr/bin/replaced", "usr/share", "usr/share/new"}
    assert {entry.mtime for entry in entries.values()} == {inside.EPOCH}
    assert {(entry.uname, entry.gname) for entry in entries.values()} == {("", "")}


def test_a_file_that_is_written_with_its_old_size_and_time_counts_as_changed(root: Path) -> None:
    def change() -> None:
        path = root / "usr/bin/there"
        status = path.stat()
        path.write_text("usr/bin/THERE")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert "usr/bin/there" in changes(root, change)


def test_nothing_changed_makes_an_empty_layer(root: Path) -> None:
    assert changes(root, lambda: None) == {}


def test_what_is_of_the_moment_stays_out_but_the_folders_that_programs_expect(root: Path) -> None:
    def change() -> None:
        for name in (
            "var/log/dpkg.log",
            "var/cache/apt/pkgcache.bin",
            "tmp/gitreceive-ca.pem",
            "etc/passwd-",
            "etc/machine-id",
        ):
            (root / name).write_text("now")
        (root / "var/log/squid").mkdir()
        (root / "tmp/left").mkdir()

    assert set(changes(root, change)) == {"var", "var/log", "var/log/squid"}


def test_what_was_removed_is_whited_out_once(root: Path) -> None:
    def change() -> None:
        (root / "usr/bin/there").unlink()
        (root / "usr/lib/old/a").unlink()
        (root / "usr/lib/old").rmdir()

    entries = changes(root, change)

    assert set(entries) == {"usr", "usr/bin", "usr/bin/.wh.there", "usr/lib", "usr/lib/.wh.old"}
    assert entries["usr/bin/.wh.there"].isreg()


def test_a_folder_that_became_a_link_takes_what_lay_in_it_along(root: Path) -> None:
    def change() -> None:
        (root / "usr/lib/old/a").unlink()
        (root / "usr/lib/old").rmdir()
        (root / "usr/lib/old").symlink_to("../bin")

    entries = changes(root, change)

    assert set(entries) == {"usr", "usr/lib", "usr/lib/old"}
    assert entries["usr/lib/old"].issym()


def test_hard_links_stay_links_and_modes_stay_modes(root: Path) -> None:
    def change() -> None:
        (root / "usr/bin/one").write_text("same")
        (root / "usr/bin/two").hardlink_to(root / "usr/bin/one")
        (root / "usr/bin/one").chmod(0o4755)

    entries = changes(root, change)

    assert (entries["usr/bin/two"].islnk(), entries["usr/bin/two"].linkname) == (True, "usr/bin/one")
    assert entries["usr/bin/one"].mode == 0o4755


def test_pipes_and_sockets_are_left_behind(root: Path) -> None:
    assert set(changes(root, lambda: os.mkfifo(root / "usr/bin/pipe"))) == {"usr", "usr/bin"}


def test_a_layer_of_the_same_changes_is_the_same(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    packed = []
    for name in ("one", "two"):
        place = tmp_path_factory.mktemp(name)
        before = inside.snapshot(str(place))
        for file in ("b", "a") if name == "one" else ("a", "b"):
            (place / file).write_text(file)
        out = io.BytesIO()
        inside.pack(str(place), before, out)
        packed.append(out.getvalue())

    assert packed[0] == packed[1]


def test_what_apt_would_install_is_read_from_its_simulation() -> None:
    said = [
        "Reading package lists...",
        "Inst libssl3 [3.0.1-1] (3.0.2-1 Debian-Security:12/stable [amd64]) []",
        "Inst figlet (2.2.5-3+b1 Debian:12.15/oldstable [amd64])",
        "Conf figlet (2.2.5-3+b1 Debian:12.15/oldstable [amd64])",
    ]

    assert inside._planned(said) == [("figlet", "2.2.5-3+b1"), ("libssl3", "3.0.2-1")]
