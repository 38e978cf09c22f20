"""The app's layer made from git archive's stream is byte for byte the one that a build packs after unpacking that stream."""

import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitreceive.lifecycle import pack, source
from gitreceive.lifecycle.source import SourceTarError
from tests.engines.builder.sources import EXECUTABLE, PLAIN, SYMLINK, Files, Node, Repository

OWNER = (1000, 1000)

_names = st.one_of(
    st.sampled_from(
        [b"a", b"a-b", b"a.b", b"a0", b"b", b"Z", b"caf\xe9", "zoë".encode(), b"x" * 120, b" ", b"\xff\n"]
    ),
    st.binary(min_size=1, max_size=250).filter(
        lambda name: not set(name) & {0, 0x2F} and name not in {b".", b".."} and name.lower() != b".git"
    ),
)
_nodes = st.builds(Node, st.binary(max_size=1200), st.sampled_from([PLAIN, EXECUTABLE])) | st.builds(
    Node, st.binary(min_size=1, max_size=200).filter(lambda target: 0 not in target), st.just(SYMLINK)
)


def _no_file_is_a_folder(files: Files) -> bool:
    return not any(other.startswith(path + b"/") for path in files for other in files)


_sources = st.dictionaries(
    st.lists(_names, min_size=1, max_size=4).map(b"/".join), _nodes, min_size=1, max_size=12
).filter(_no_file_is_a_folder)

_long = b"/".join([b"deep" * 12] * 6)


@settings(max_examples=60, deadline=None)
@given(_sources)
@example({b"a/x": Node(b"1"), b"a-b": Node(b"2"), b"a.b": Node(b"3"), b"a0": Node(b"4")})
@example({_long: Node(b"x" * 1000, EXECUTABLE), b"link": Node(_long, SYMLINK)})
@example({b"caf\xe9/\xff": Node(b""), b"caf\xe9/" + b"\xe9" * 200: Node(b"/etc/passwd", SYMLINK)})
@example(
    {
        b".gitattributes": Node(b"b export-ignore\nv export-subst\n"),
        b"b/x": Node(b""),
        b"v": Node(b"$Format:%H$"),
    }
)
@example({b".gitattributes": Node(b"*.txt text eol=crlf\n"), b"a.txt": Node(b"1\n2\n")})
def test_the_layer_made_of_a_stream_is_the_layer_of_what_is_unpacked_from_it(files: Files) -> None:
    with tempfile.TemporaryDirectory() as folder:
        repository = Repository(Path(folder, "data"))
        commit = repository.commit(files)
        workspace = Path(folder, "workspace")
        workspace.mkdir(mode=0o755)
        with repository.store.archive(commit) as stream:
            source.unpack(stream, workspace)
        with repository.store.archive(commit) as stream:
            streamed = b"".join(pack.source(stream, "workspace", OWNER))
        assert streamed == b"".join(pack.tree(workspace, "workspace", OWNER))


def test_a_large_file_passes_in_small_pieces(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    commit = repository.commit({b"big": Node(os.urandom(3 << 20))})
    with repository.store.archive(commit) as stream:
        assert max(len(piece) for piece in pack.source(stream, "workspace", OWNER)) < 1 << 20


def _tar(*names: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = (tarfile.DIRTYPE if name.endswith("/") else kind), target
            tar.addfile(info)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize(
    "names",
    [("b", "a"), ("a", "a"), ("a/x",), ("a/", "a-b"), ("../a",), ("a/", "b", "a/x")],
)
def test_a_stream_that_no_git_makes_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(SourceTarError):
        list(pack.source(_tar(*names), "workspace", OWNER))


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_what_is_no_file_folder_or_link_is_refused(kind: bytes) -> None:
    with pytest.raises(SourceTarError):
        list(pack.source(_tar("a", kind=kind, target="b"), "workspace", OWNER))


def test_a_stream_that_breaks_off_is_refused(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    with repository.store.archive(repository.commit({b"a": Node(b"x" * 5000)})) as stream:
        whole = stream.read()
    with pytest.raises(SourceTarError):
        list(pack.source(io.BytesIO(whole[:3000]), "workspace", OWNER))
