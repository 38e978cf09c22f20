import io
import os
import tarfile
from pathlib import Path

from gitreceive.lifecycle import pack

OWNER = (1000, 1000)


def _tree(folder: Path) -> None:
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "file").write_text("content")
    (folder / "a").write_bytes(b"x" * 700_000)
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("b/file")
    (folder / ("long" * 40)).write_text("")


def _read(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: member for member in tar}


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    _tree(tmp_path / "one")
    _tree(tmp_path / "two")
    os.utime(tmp_path / "two" / "a", (1, 1))
    first = b"".join(pack.tree(tmp_path / "one", "workspace", OWNER))
    assert first == b"".join(pack.tree(tmp_path / "two", "workspace", OWNER))


def test_a_layer_has_one_owner_one_date_and_is_sorted(tmp_path: Path) -> None:
    _tree(tmp_path / "one")
    members = _read(b"".join(pack.tree(tmp_path / "one", "layers/bp/deps", OWNER)))
    assert list(members) == [
        "layers",
        "layers/bp",
        "layers/bp/deps",
        "layers/bp/deps/a",
        "layers/bp/deps/b",
        "layers/bp/deps/b/file",
        "layers/bp/deps/link",
        "layers/bp/deps/" + "long" * 40,
        "layers/bp/deps/run",
    ]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members.values()} == {
        (1000, 1000, "", "", 315532801)
    }
    assert members["layers/bp/deps/run"].mode == 0o755
    assert members["layers/bp/deps/link"].linkname == "b/file"


def test_set_user_bits_and_special_files_stay_behind(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    (tmp_path / "run").chmod(0o4755)
    os.mkfifo(tmp_path / "pipe")
    members = _read(b"".join(pack.tree(tmp_path, "workspace", OWNER)))
    assert list(members) == ["workspace", "workspace/run"]
    assert members["workspace/run"].mode == 0o755


def test_pieces_are_small_however_large_the_files(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(3 << 20))
    assert max(len(piece) for piece in pack.tree(tmp_path, "workspace", OWNER)) < 1 << 20


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    content = b"".join(pack.tree(tmp_path, "workspace", OWNER))
    assert os.fsdecode(b"workspace/caf\xe9") in _read(content)


def test_the_launcher_is_what_the_program_needs_and_no_more() -> None:
    import gitreceive.lifecycle

    program = Path(gitreceive.lifecycle.__file__).parent
    for name in pack.LAUNCHER_FILES:
        assert (program.parent.parent / name).is_file() or (program / name).is_file()


def test_folders_that_slices_emptied_are_not_in_the_rest(tmp_path: Path) -> None:
    for name in ("a/deep/x", "b/x", "b/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    chunks = pack.rest(tmp_path, "w", (1000, 1000), [frozenset({"a/deep/x"}), frozenset({"b/x"})])
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        assert tar.getnames() == ["w", "w/b", "w/b/y"]
