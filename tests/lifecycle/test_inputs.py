from pathlib import Path

import pytest

from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.layers import ContractError, read_inputs, store_stamp

ONE = Buildpack("test/one", "1", (0, 10), Path("/"), inputs=("own",))


def _store(folder: Path, inputs: str) -> None:
    (folder / "store.toml").write_text(f"[metadata.gitreceive]\ninputs = {inputs}\n")


def test_without_a_list_of_this_builds_own_the_buildpacks_counts(tmp_path: Path) -> None:
    assert read_inputs(ONE, tmp_path, store_stamp(tmp_path)) == ("own",)
    (tmp_path / "store.toml").write_text("[metadata]\nkey = 1\n")
    assert read_inputs(ONE, tmp_path, ()) == ("own",)


def test_a_list_that_this_build_wrote_counts(tmp_path: Path) -> None:
    stamp = store_stamp(tmp_path)
    _store(tmp_path, '["a", "b/*"]')
    assert read_inputs(ONE, tmp_path, stamp) == ("a", "b/*")


def test_a_list_that_an_earlier_build_wrote_says_nothing(tmp_path: Path) -> None:
    _store(tmp_path, '["a"]')
    assert read_inputs(ONE, tmp_path, store_stamp(tmp_path)) is None


@pytest.mark.parametrize("inputs", ['"a"', "[1]", "3"])
def test_what_is_no_list_of_globs_breaks_the_contract(tmp_path: Path, inputs: str) -> None:
    _store(tmp_path, inputs)
    with pytest.raises(ContractError, match=r"store\.toml"):
        read_inputs(ONE, tmp_path, ())
