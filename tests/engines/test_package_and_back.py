"""What is packed comes out as it was: names, contents, links, and what is executable."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitreceive.buildpacks.package import read_package
from gitreceive.engines.buildpackages import pack
from gitreceive.engines.buildpackages.contents import Work, take_archive
from gitreceive.engines.buildpackages.unpack import Limits
from gitreceive.engines.oci_registry import save
from tests.engines.test_buildpack_sources import buildpack, seen

_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=60,
)
_name = _names.filter(lambda n: n not in {".", "..", ".git", "__pycache__"} and len(n.encode()) < 200)
_file = st.tuples(st.binary(max_size=2000), st.sampled_from([0o600, 0o644, 0o664, 0o700, 0o755, 0o4777]))
_tree = st.recursive(
    _file | st.just("link"), lambda inner: st.dictionaries(_name, inner, max_size=4), max_leaves=15
)
_trees = st.dictionaries(_name, _tree, max_size=5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_trees)
def test_what_is_packed_comes_out_as_it_was(tree: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        origin = buildpack(top / "origin")
        _write(origin / "content", tree)
        for folder in ("spool", "scratch"):
            (top / folder).mkdir()
        digests = {
            save(pack(read_package([origin]), top / "spool"), top / file) for file in ("one.cnb", "two.cnb")
        }
        assert len(digests) == 1
        assert (top / "one.cnb").read_bytes() == (top / "two.cnb").read_bytes()
        work = Work(top / "scratch", Limits(), lambda: None)
        assert take_archive(top / "one.cnb", top / "target", "none", work) == ("acme/lua", "0.1.0")
        assert seen(top / "target" / "acme_lua" / "0.1.0") == seen(origin)


def _write(folder: Path, tree: dict[str, object]) -> None:
    folder.mkdir()
    for name, value in tree.items():
        path = folder / name
        if isinstance(value, dict):
            _write(path, value)
        elif isinstance(value, tuple):
            path.write_bytes(value[0])
            path.chmod(value[1])
        else:
            path.symlink_to("nowhere/x")
