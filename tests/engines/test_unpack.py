"""Archives that nobody vouches for: what is unpacked, and what is refused."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gitreceive.engines.buildpackages.unpack import Limits, Unpacking, UnsafeError, refuse_links_out
from gitreceive.errors import CanceledError

_Member = tuple[str, bytes, bytes | str, int]


def _tar(path: Path, *members: _Member, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, kind, content, bits in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, bits
            if isinstance(content, str):
                info.linkname = content
            info.size = len(content) if isinstance(content, bytes) else 0
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def _file(name: str, content: bytes = b"x", bits: int = 0o644) -> _Member:
    return name, tarfile.REGTYPE, content, bits


def _link(name: str, target: str) -> _Member:
    return name, tarfile.SYMTYPE, target, 0o777


def _folder(name: str, bits: int = 0o755) -> _Member:
    return name, tarfile.DIRTYPE, b"", bits


def _same(name: str, target: str) -> _Member:
    return name, tarfile.LNKTYPE, target, 0o644


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[..., Path]:
    def run(archive: Path, limits: Limits = Limits(), layer: str = "") -> Path:  # noqa: B008 - frozen
        folder = tmp_path / "out"
        folder.mkdir()
        unpacking = Unpacking(folder, limits)
        if layer:
            unpacking.layer(archive, layer, lambda: None)
        else:
            unpacking.archive(archive, lambda: None)
        refuse_links_out(folder)
        return folder

    return run


Unpack = Callable[..., Path]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_files_folders_and_links_come_out_of_a_tar_packed_in_any_way(
    tmp_path: Path, unpack: Unpack, mode: str
) -> None:
    members = [
        _folder("./top/"),
        _file("top/bin/build", b"#!/bin/sh\n", 0o775),
        _file("top/buildpack.toml", b"api"),
        _link("top/link", "bin/../buildpack.toml"),
        _same("top/same", "top/bin/build"),
        _link("top/dangling", "nowhere"),
    ]
    top = unpack(_tar(tmp_path / "a", *members, mode=mode)) / "top"
    assert stat.S_IMODE((top / "bin/build").stat().st_mode) == 0o755
    assert stat.S_IMODE((top / "buildpack.toml").stat().st_mode) == 0o644
    assert (top / "link").read_bytes() == b"api"
    assert (top / "same").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((top / "same").stat().st_mode) == 0o755
    assert (top / "dangling").readlink() == Path("nowhere")


def test_setuid_and_open_modes_are_dropped(tmp_path: Path, unpack: Unpack) -> None:
    out = unpack(
        _tar(tmp_path / "a", _folder("d", 0o7777), _file("d/s", bits=0o6777), _file("d/t", bits=0o1666))
    )
    assert [stat.S_IMODE((out / "d" / name).stat().st_mode) for name in "st"] == [0o755, 0o644]
    assert stat.S_IMODE((out / "d").stat().st_mode) & 0o7022 == 0


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([_file("/etc/x")], "no path inside"),
        ([_file("a/../../x")], "leads out"),
        ([_file("..")], "leads out"),
        ([_file("a\\..\\x")], "no path inside"),
        ([_folder("../x")], "leads out"),
        ([_link("a", "/etc")], "leads to '/etc'"),
        ([_link("a", "../x")], "'a' leads out"),
        ([_link("a", "b/../../x")], "'a' leads out"),
        ([_link("a", "."), _link("b", "a/a/a/../../x")], "leads out"),
        ([_link("a", "b"), _link("b", "a")], "leads out"),
        ([_link("a", "b"), _file("a/x")], "lies below 'a'"),
        ([_file("a"), _file("a/x")], "lies below 'a'"),
        ([_file("a"), _file("a")], "there twice"),
        ([_file("a/x"), _file("a")], "there twice"),
        ([_link("a", "b"), _file("a")], "there twice"),
        ([_file("a"), _folder("a")], "there twice"),
        ([_same("a", "/etc/passwd")], "no path inside"),
        ([_same("a", "../x")], "leads out"),
        ([_same("a", "b")], "no file before it"),
        ([_link("b", "nowhere"), _same("a", "b")], "no file before it"),
        ([("a", tarfile.CHRTYPE, "", 0o644)], "no file, folder or link"),
        ([("a", tarfile.BLKTYPE, "", 0o644)], "no file, folder or link"),
        ([("a", tarfile.FIFOTYPE, "", 0o644)], "no file, folder or link"),
    ],
)
def test_what_could_reach_out_of_the_folder_is_refused(
    tmp_path: Path, unpack: Unpack, members: list[_Member], problem: str
) -> None:
    with pytest.raises(UnsafeError) as caught:
        unpack(_tar(tmp_path / "a", *members))
    assert problem in caught.value.message
    assert not (tmp_path / "x").exists()


def test_more_than_the_limits_is_refused_before_it_is_written(tmp_path: Path, unpack: Unpack) -> None:
    bomb = _tar(tmp_path / "a", _file("small", b"1"), _file("large", bytes(3 << 20)))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(UnsafeError, match="more than 2 MiB"):
        unpack(bomb, Limits(bytes=2 << 20))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small"]


def test_hard_links_count_as_what_they_are_copies_of(tmp_path: Path, unpack: Unpack) -> None:
    members = [_file("a", bytes(1 << 20)), _same("b", "a"), _same("c", "a")]
    with pytest.raises(UnsafeError, match="more than 2 MiB"):
        unpack(_tar(tmp_path / "a", *members), Limits(bytes=2 << 20))


def test_more_entries_than_the_limit_are_refused(tmp_path: Path, unpack: Unpack) -> None:
    with pytest.raises(UnsafeError, match="more than 2 files"):
        unpack(_tar(tmp_path / "a", *(_folder(str(n)) for n in range(3))), Limits(entries=2))


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, unpack: Unpack) -> None:
    with tarfile.open(tmp_path / "a", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("x")
        info.pax_headers = {"comment": "x" * (2 << 20)}
        tar.addfile(info)
    with pytest.raises(UnsafeError, match="a header of it is larger than 1 MiB"):
        unpack(tmp_path / "a")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x1f\x8b\x08broken", b"PK\x03\x04broken", b"\x28\xb5\x2f\xfdx", b"BZh9x"]
)
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, unpack: Unpack, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UnsafeError):
        unpack(tmp_path / "a")


def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, unpack: Unpack) -> None:
    whole = _tar(tmp_path / "a", _file("x", os.urandom(100_000))).read_bytes()
    (tmp_path / "a").write_bytes(whole[:50_000])
    with pytest.raises(UnsafeError):
        unpack(tmp_path / "a")


def _zip(path: Path, *members: tuple[str, bytes, int]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, content)
    return path


def test_a_zip_is_unpacked_with_its_modes_and_links(tmp_path: Path, unpack: Unpack) -> None:
    out = unpack(
        _zip(
            tmp_path / "a",
            ("top/", b"", 0o40755),
            ("top/bin/build", b"#!", 0o100755),
            ("top/plain", b"p", 0o100600),
            ("top/link", b"plain", 0o120777),
        )
    )
    assert stat.S_IMODE((out / "top/bin/build").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "top/plain").stat().st_mode) == 0o644
    assert (out / "top/link").readlink() == Path("plain")


@pytest.mark.parametrize(
    "member",
    [
        ("../x", b"", 0o100644),
        ("/x", b"", 0o100644),
        ("a", b"/etc", 0o120777),
        ("a", b"../x", 0o120777),
        ("a", b"", 0o10644),
    ],
)
def test_a_zip_reaches_out_no_more_than_a_tar(
    tmp_path: Path, unpack: Unpack, member: tuple[str, bytes, int]
) -> None:
    with pytest.raises(UnsafeError):
        unpack(_zip(tmp_path / "a", member))
    assert not (tmp_path / "x").exists()


def test_a_zip_bomb_is_refused(tmp_path: Path, unpack: Unpack) -> None:
    with pytest.raises(UnsafeError, match="more than 2 MiB"):
        unpack(_zip(tmp_path / "a", ("x", bytes(3 << 20), 0o100644)), Limits(bytes=2 << 20))


def test_of_a_layer_only_its_own_place_is_taken(tmp_path: Path, unpack: Unpack) -> None:
    layer = _tar(
        tmp_path / "a",
        _folder("/cnb"),
        _folder("cnb/buildpacks/"),
        _file("/cnb/buildpacks/a_b/1/x"),
        _same("cnb/buildpacks/a_b/1/y", "/cnb/buildpacks/a_b/1/x"),
    )
    out = unpack(layer, layer="cnb/buildpacks")
    assert sorted(path.name for path in (out / "a_b/1").iterdir()) == ["x", "y"]


@pytest.mark.parametrize(
    "name", ["etc/passwd", "cnb/buildpacks.toml", "cnb/lifecycle/x", "cnb/buildpacks/../x"]
)
def test_a_layer_that_holds_anything_else_is_refused(tmp_path: Path, unpack: Unpack, name: str) -> None:
    with pytest.raises(UnsafeError):
        unpack(_tar(tmp_path / "a", _file(name)), layer="cnb/buildpacks")


def test_unpacking_stops_when_it_is_told_to(tmp_path: Path) -> None:
    def stop() -> None:
        raise CanceledError("enough")

    with pytest.raises(CanceledError):
        Unpacking(tmp_path, Limits()).archive(_tar(tmp_path / "a", _file("x")), stop)
    assert not (tmp_path / "x").exists()
