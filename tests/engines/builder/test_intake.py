"""Layers that a build sends, good and hostile, without a build."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitreceive.engines.docker_builder.intake import refuse_leaks, take_layer
from gitreceive.errors import BuildError
from gitreceive.lifecycle.secrets import patterns
from gitreceive.model import Blob, Digest


def _tar(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "target"
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _chunks(content: bytes, size: int = 700) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def test_a_layer_is_hashed_compressed_and_kept_as_it_came(tmp_path: Path) -> None:
    tar = _tar(("workspace/a", b"x" * 5000), ("workspace/b", b"y"))
    layer = take_layer("app", _chunks(tar), tmp_path / "0", {}, {})
    packed = (tmp_path / "0").read_bytes()
    assert layer.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert layer.blob.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert (layer.blob.size, layer.path) == (len(packed), tmp_path / "0")
    assert gzip.decompress(packed) == tar
    assert packed[4:8] == bytes(4), "the date in gzip's header"


def test_a_layer_that_the_registry_has_is_not_kept(tmp_path: Path) -> None:
    tar = _tar(("workspace/a", b"x"))
    blob = Blob(Digest("sha256:" + "1" * 64), 7, "type")
    diff_id = Digest(f"sha256:{hashlib.sha256(tar).hexdigest()}")
    layer = take_layer("app", _chunks(tar), tmp_path / "0", {diff_id: blob}, {})
    assert (layer.blob, layer.path) == (blob, None)
    assert not (tmp_path / "0").exists()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("app", "etc/passwd"),
        ("app", "workspace/../etc/passwd"),
        ("app", "/etc/passwd"),
        ("app", "workspacex"),
        ("app", "layers/x"),
        ("x/a:deps", "layers/x_a/other/file"),
        ("x/a:deps", "layers/x_a"),
        ("launcher", "cnb/process/web"),
        ("x/a:..", "layers/x"),
        ("nonsense", "workspace/a"),
        ("slice 1", "layers/x"),
        ("slice 0", "workspace/a"),
        ("sbom", "layers/config/metadata.json"),
    ],
)
def test_a_layer_stays_in_its_own_place(title: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError):
        take_layer(title, _chunks(_tar((name, b"x"))), tmp_path / "0", {}, {})


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_layer_holds_files_folders_and_symbolic_links_only(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is no file, folder or symbolic link"):
        take_layer("app", _chunks(_tar(("workspace/a", b""), kind=kind)), tmp_path / "0", {}, {})


def test_a_name_that_would_delete_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="images cannot hold the name"):
        take_layer("app", _chunks(_tar(("workspace/.wh.a", b""))), tmp_path / "0", {}, {})


@pytest.mark.parametrize("size", [1, 700, 10_000_000])
def test_a_secret_is_found_and_its_file_named(size: int, tmp_path: Path) -> None:
    tar = _tar(("workspace/a", b"x" * 900), ("workspace/b", b"key=s3cr3t-value"), ("workspace/c", b"z"))
    with pytest.raises(BuildError, match="build secret index is in layer app: /workspace/b"):
        take_layer("app", _chunks(tar, size), tmp_path / "0", {}, {"index": patterns([b"s3cr3t-value"])})


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="layer app is not a tar"):
        take_layer("app", _chunks(b"no tar at all" * 100), tmp_path / "0", {}, {})


@pytest.mark.parametrize(
    "event", [{"labels": {"k": "a to-ken-éé"}}, {"contents": [{"data": {"a": ["to-ken-éé"]}}]}]
)
def test_a_secret_in_what_the_image_says_of_itself_is_refused(event: dict[str, object]) -> None:
    wanted = {"index": patterns(["to-ken-éé".encode()])}
    with pytest.raises(BuildError, match="build secret index is in the image's labels"):
        refuse_leaks(event, wanted)
    refuse_leaks({"labels": {"k": "token"}}, wanted)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_that_would_be_held_in_memory_is_refused_before_it_comes(
    tmp_path: Path, kind: bytes
) -> None:
    """It says that a name of 2 GiB follows; no more than the head is read."""
    info = tarfile.TarInfo("workspace/a")
    info.type, info.size = kind, 2 << 30

    def chunks() -> Iterator[bytes]:
        yield info.tobuf(tarfile.GNU_FORMAT)
        yield b"\0" * 65_536
        pytest.fail("the name is read")

    with pytest.raises(BuildError, match="header of a layer"):
        take_layer("app", chunks(), tmp_path / "0", {}, {})
