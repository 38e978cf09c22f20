"""The folder ``buildpacks/``: what any Cloud Native Buildpacks platform expects of it, and what ours adds."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "buildpacks"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/buildpack.toml"))


def _describe(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name / "buildpack.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_buildpack_says_who_it_is_and_what_it_looks_for(name: str) -> None:
    described = _describe(name)
    assert described["api"] == "0.10"
    assert described["buildpack"]["id"] == f"gitreceive/{name}"
    assert described["metadata"]["gitreceive"]["inputs"]
    assert described["metadata"]["gitreceive"]["detects"]


@pytest.mark.parametrize("name", NAMES)
def test_its_two_programs_are_executable_python_that_leaves_the_folder_as_it_was(name: str) -> None:
    for program in ("detect", "build"):
        path = FOLDER / name / "bin" / program
        assert os.access(path, os.X_OK)
        text = path.read_text(encoding="utf-8")
        assert text.startswith("#!/usr/bin/python3\n")
        assert "sys.dont_write_bytecode = True" in text


def test_every_buildpack_carries_the_same_contract_file() -> None:
    copies = list(FOLDER.glob("*/lib/*/cnb.py"))
    assert len(copies) == len(NAMES)
    assert len({copy.read_bytes() for copy in copies}) == 1


def test_buildpacks_that_unpack_packages_do_so_with_the_same_file() -> None:
    assert len({copy.read_bytes() for copy in FOLDER.glob("*/lib/*/debian.py")}) == 1


def test_buildpacks_that_ask_the_package_index_do_so_with_the_same_file() -> None:
    copies = [copy.read_bytes() for copy in FOLDER.glob("*/lib/*/installers.py")]
    assert len(copies) == 2
    assert len(set(copies)) == 1


def test_buildpacks_that_count_workers_by_memory_do_so_with_the_same_file() -> None:
    assert len({copy.read_bytes() for copy in FOLDER.glob("*/lib/*/concurrency.py")}) == 1


def test_the_order_names_buildpacks_that_are_there_in_the_version_that_they_have() -> None:
    order = tomllib.loads((FOLDER / "order.toml").read_text(encoding="utf-8"))["order"]
    versions = {d["id"]: d["version"] for d in (_describe(name)["buildpack"] for name in NAMES)}
    named = [entry for group in order for entry in group["group"]]
    assert {entry["id"]: entry["version"] for entry in named} == versions


def test_a_procfile_is_optional_in_every_group_and_nodejs_before_languages_with_front_ends() -> None:
    groups = [group["group"] for group in tomllib.loads((FOLDER / "order.toml").read_text())["order"]]
    required = [[entry["id"] for entry in group if not entry.get("optional")] for group in groups]
    assert required == [
        ["gitreceive/go"],
        ["gitreceive/python"],
        ["gitreceive/php"],
        ["gitreceive/ruby"],
        ["gitreceive/java"],
        ["gitreceive/static"],
        ["gitreceive/nodejs"],
    ]
    for group in (*groups[:3], groups[-2]):
        assert group[0] == {**group[0], "id": "gitreceive/nodejs", "optional": True}
    assert all(group[-1] == {**group[-1], "id": "gitreceive/procfile", "optional": True} for group in groups)
