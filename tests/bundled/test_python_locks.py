import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pythonpack.cnb import Refusal
from pythonpack.locks import expand, read_lock

SOURCE = '[[source]]\nname = "own"\nurl = "http://${USER}@127.0.0.1/simple"\nverify_ssl = true\n'
SOURCES = [{"name": "own", "url": "http://${USER}@127.0.0.1/simple", "verify_ssl": True}]


def _pipenv(app: Path, pins: dict[str, Any], *, pipfile: str = "", **meta: Any) -> Path:
    (app / "Pipfile").write_text(pipfile)
    lock = {"_meta": {"hash": {"sha256": ""}, **meta}, "default": pins}
    (app / "Pipfile.lock").write_text(json.dumps(lock))
    return app


@pytest.mark.parametrize(
    ("pin", "line"),
    [
        (
            {"version": "==1.0", "hashes": ["sha256:aa", "sha256:bb"]},
            "a==1.0 --hash=sha256:aa --hash=sha256:bb",
        ),
        (
            {"version": "==1", "hashes": ["sha256:aa"], "extras": ["x"], "markers": "os_name == 'nt'"},
            "a==1 ; os_name == 'nt' --hash=sha256:aa",
        ),
        ({"git": "https://git.example/a.git", "ref": "c0ffee"}, "a @ git+https://git.example/a.git@c0ffee"),
        (
            {"git": "https://git.example/a.git", "ref": "c0", "subdirectory": "b"},
            "a @ git+https://git.example/a.git@c0#subdirectory=b",
        ),
    ],
)
def test_a_pin_of_pipenv_becomes_a_requirement(tmp_path: Path, pin: dict[str, Any], line: str) -> None:
    assert read_lock(_pipenv(tmp_path, {"a": pin}), "pipenv").requirements == (line,)


def test_a_pin_in_the_apps_own_tree_is_installed_in_place_and_one_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    locked = read_lock(_pipenv(tmp_path, {"a": {"path": "./own", "editable": True}}), "pipenv")
    assert locked.requirements == (f"-e {tmp_path.resolve()}/own",)
    assert locked.local
    with pytest.raises(Refusal, match="outside the app"):
        read_lock(_pipenv(tmp_path, {"a": {"path": "../own"}}), "pipenv")


def test_a_pin_without_a_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no hash for a"):
        read_lock(_pipenv(tmp_path, {"a": {"version": "==1"}}), "pipenv")


def test_pipenvs_digest_tells_a_lock_that_is_out_of_date(tmp_path: Path) -> None:
    said = {"_meta": {"sources": SOURCES, "requires": {}}, "default": {"My_App": "*"}, "develop": {}}
    pins = {"my-app": {"version": "==1", "hashes": ["sha256:aa"]}}
    for name in ("My_App", "my-app"):  # as it stands, and in its canonical form
        content = json.dumps({**said, "default": {name: "*"}}, sort_keys=True, separators=(",", ":"))
        digest = {"sha256": hashlib.sha256(content.encode()).hexdigest()}
        app = _pipenv(tmp_path, pins, pipfile=f'{SOURCE}[packages]\nMy_App = "*"\n', hash=digest)
        assert read_lock(app, "pipenv").requirements
    (app / "Pipfile").write_text(f'{SOURCE}[packages]\nMy_App = "<2"\n')
    with pytest.raises(Refusal, match=r"Pipfile\.lock does not fit Pipfile") as refusal:
        read_lock(app, "pipenv")
    assert "`pipenv lock`" in refusal.value.hint


def test_without_a_source_the_packages_names_are_compared(tmp_path: Path) -> None:
    pins = {"my-app": {"version": "==1", "hashes": ["sha256:aa"]}}
    assert read_lock(_pipenv(tmp_path, pins, pipfile='[packages]\nMy_App = "*"\n'), "pipenv").requirements
    with pytest.raises(Refusal, match="does not fit Pipfile"):
        read_lock(_pipenv(tmp_path, pins, pipfile='[packages]\nother = "*"\n'), "pipenv")


@pytest.mark.parametrize(
    ("requires", "specifier"),
    [
        ({}, ""),
        ({"python_version": "3.11"}, "==3.11.*"),
        ({"python_version": "3.11", "python_full_version": "3.11.2"}, "==3.11.2"),
    ],
)
def test_pipenvs_lock_says_which_python(tmp_path: Path, requires: dict[str, str], specifier: str) -> None:
    assert read_lock(_pipenv(tmp_path, {}, requires=requires), "pipenv").python == specifier


def test_variables_in_an_index_are_filled_in_and_a_missing_one_is_named() -> None:
    assert expand([SOURCES[0]["url"]], {"USER": "shop"}) == ["http://shop@127.0.0.1/simple"]  # type: ignore[list-item]
    with pytest.raises(Refusal, match="the variable USER, which is not set"):
        expand(["http://$USER@127.0.0.1"], {})


def _poetry(app: Path, packages: str, *, version: str = "2.1", python: str = "*") -> Path:
    content = {"dependencies": None, "source": None, "extras": None, "dev-dependencies": None}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (app / "pyproject.toml").write_text("[tool.poetry]\npackage-mode = false\n")
    meta = f'lock-version = "{version}"\npython-versions = "{python}"\ncontent-hash = "{digest}"\n'
    (app / "poetry.lock").write_text(f"{packages}\n[metadata]\n{meta}")
    return app


def test_a_package_of_poetry_becomes_a_requirement_with_the_marker_of_its_main_group(tmp_path: Path) -> None:
    package = (
        '[[package]]\nname = "a"\nversion = "1.0"\ngroups = ["main", "dev"]\nfiles = [{hash = "sha256:aa"}]\n'
    )
    marked = package + "markers = {main = \"os_name == 'nt'\", dev = \"os_name == 'posix'\"}\n"
    assert read_lock(_poetry(tmp_path, package), "poetry").requirements == ("a==1.0 --hash=sha256:aa",)
    found = read_lock(_poetry(tmp_path, marked), "poetry").requirements
    assert found == ("a==1.0 ; os_name == 'nt' --hash=sha256:aa",)


def test_another_index_of_poetrys_lock_comes_after_the_default_one(tmp_path: Path) -> None:
    package = '[[package]]\nname = "a"\nversion = "1"\ngroups = ["main"]\nfiles = [{hash = "sha256:aa"}]\n'
    source = '[package.source]\ntype = "legacy"\nurl = "http://127.0.0.1/own"\nreference = "own"\n'
    assert read_lock(_poetry(tmp_path, package + source), "poetry").indexes == ("", "http://127.0.0.1/own")


def test_a_lock_that_does_not_say_its_groups_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"version 2\.0, and 2\.1 is needed") as refusal:
        read_lock(_poetry(tmp_path, "", version="2.0"), "poetry")
    assert "`poetry lock` with Poetry 2" in refusal.value.hint


@pytest.mark.parametrize("text", ["", "x", "[metadata]\n", "package = 1\n[metadata]\nlock-version = 'a'\n"])
def test_a_lock_that_is_no_lock_is_refused(tmp_path: Path, text: str) -> None:
    app = _poetry(tmp_path, "")
    (app / "poetry.lock").write_text(text)
    with pytest.raises(Refusal, match=r"poetry\.lock cannot be read"):
        read_lock(app, "poetry")
    _pipenv(tmp_path, {})
    (app / "Pipfile.lock").write_text(text)
    with pytest.raises(Refusal, match=r"Pipfile\.lock cannot be read"):
        read_lock(app, "pipenv")


@pytest.mark.parametrize(
    ("constraint", "specifier"),
    [
        ("*", ""),
        ("^3.11", ">=3.11,<4"),
        ("~3.11", ">=3.11,<3.12"),
        ("~3", ">=3,<4"),
        ("3.11.*", "==3.11.*"),
        (">=3.10, <3.13", ">=3.10,<3.13"),
        ("~2.7 || ^3.10", ">=3.10,<4"),
    ],
)
def test_poetrys_lock_says_which_python(tmp_path: Path, constraint: str, specifier: str) -> None:
    assert read_lock(_poetry(tmp_path, "", python=constraint), "poetry").python == specifier
