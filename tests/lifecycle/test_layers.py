import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.lifecycle import toml
from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.launch_toml import read_launch
from gitreceive.lifecycle.layers import ContractError, read_layers, read_unmet


def _buildpack(api: tuple[int, int] = (0, 10)) -> Buildpack:
    return Buildpack("x/a", "1", api, Path("/nowhere"))


def test_flags_are_read_and_layers_without_any_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / "deps.toml").write_text("[types]\nlaunch = true\ncache = true\n")
    (tmp_path / "old.toml").write_text("[metadata]\n")
    (tmp_path / "old").mkdir()
    (tmp_path / "store.toml").write_text("")
    (only,) = read_layers(_buildpack(), tmp_path)
    assert (only.title, only.launch, only.build, only.cache) == ("x/a:deps", True, False, True)
    assert (tmp_path / "old.ignore").is_dir()


def test_commands_are_arrays_since_api_0_9_and_strings_before(tmp_path: Path) -> None:
    (tmp_path / "launch.toml").write_text('[[processes]]\ntype = "web"\ncommand = ["run", "it"]\n')
    (process,) = read_launch(_buildpack(), tmp_path).processes
    assert (process["command"], process["direct"]) == (["run", "it"], True)
    with pytest.raises(ContractError, match="a string as command"):
        read_launch(_buildpack((0, 8)), tmp_path)
    (tmp_path / "launch.toml").write_text('[[processes]]\ntype = "web"\ncommand = "run $IT"\n')
    (process,) = read_launch(_buildpack((0, 8)), tmp_path).processes
    assert (process["command"], process["direct"]) == (["run $IT"], False)


def test_unmet_entries_are_named(tmp_path: Path) -> None:
    assert read_unmet(tmp_path, ["node"]) == frozenset()
    (tmp_path / "build.toml").write_text('[[unmet]]\nname = "node"\n')
    assert read_unmet(tmp_path, ["node"]) == {"node"}


def test_a_file_that_is_not_toml_breaks_the_contract_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "deps.toml").write_text("[[[")
    with pytest.raises(ContractError, match=r"^deps.toml cannot be read"):
        read_layers(_buildpack(), tmp_path)


_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("aB-é .\"'", max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text("ab_-. é", max_size=5), _VALUES, max_size=4))
def test_toml_is_written_so_that_it_reads_back(document: dict[str, object]) -> None:
    assert tomllib.loads(toml.dumps(document)) == document
