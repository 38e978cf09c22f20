"""What a package holds, and what its labels say (CNB Distribution spec, "Buildpackage")."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gitreceive.buildpacks.package import (
    LAYERS_LABEL,
    PACKAGE_LABEL,
    Package,
    entry_of,
    folders_of,
    labels,
    read_package,
)
from gitreceive.errors import UsageError
from gitreceive.model import Digest


def _buildpack(folder: Path, identity: str, more: str = "", *, order: str = "") -> Path:
    folder.mkdir(parents=True)
    text = f'api = "0.10"\n{more}\n[buildpack]\nid = "{identity}"\nversion = "1.0.0"\nname = "N"\n{order}'
    (folder / "buildpack.toml").write_text(text)
    if not order:
        (folder / "bin").mkdir()
        for name in ("detect", "build"):
            (folder / "bin" / name).write_text("#!/bin/sh\n")
            (folder / "bin" / name).chmod(0o755)
    return folder


def _composite(folder: Path, *parts: str) -> Path:
    groups = "".join(f'[[order.group]]\nid = "{part}"\nversion = "1.0.0"\n' for part in parts)
    return _buildpack(folder, "acme/all", order=f"[[order]]\n{groups}")


def _labels(package: Package) -> Mapping[str, object]:
    digests = {part: Digest(f"sha256:{at:064x}") for at, part in enumerate(package.parts)}
    return {name: json.loads(text) for name, text in labels(package, digests).items()}


def test_a_single_buildpack_is_its_own_package(tmp_path: Path) -> None:
    folder = _buildpack(tmp_path / "one", "acme/one")
    assert folders_of(folder) == (folder,)
    said = _labels(read_package([folder]))
    assert said[PACKAGE_LABEL] == {"id": "acme/one", "version": "1.0.0", "name": "N", "stacks": [{"id": "*"}]}
    entry = {"api": "0.10", "name": "N", "layerDiffID": f"sha256:{0:064x}"}
    assert said[LAYERS_LABEL] == {"acme/one": {"1.0.0": entry}}


def test_the_parts_of_a_composite_are_the_folders_that_package_toml_names(tmp_path: Path) -> None:
    one, two = (_buildpack(tmp_path / name, f"acme/{name}") for name in ("one", "two"))
    whole = _composite(tmp_path / "all", "acme/one", "acme/two")
    (whole / "package.toml").write_text(
        '[buildpack]\nuri = "."\n[[dependencies]]\nuri = "../one"\n[[dependencies]]\nuri = "../two"\n'
    )
    folders = folders_of(whole)
    assert [folder.resolve() for folder in folders] == [whole, one, two]
    package = read_package(folders)
    assert (package.entry.id, [part.id for part in package.parts]) == (
        "acme/all",
        ["acme/all", "acme/one", "acme/two"],
    )
    said = _labels(package)[LAYERS_LABEL]
    assert isinstance(said, dict)
    assert said["acme/all"]["1.0.0"]["order"] == [
        {"group": [{"id": "acme/one", "version": "1.0.0"}, {"id": "acme/two", "version": "1.0.0"}]}
    ]


def test_a_package_is_whole_and_holds_nothing_else(tmp_path: Path) -> None:
    whole = _composite(tmp_path / "all", "acme/one")
    with pytest.raises(UsageError, match=r"not whole: buildpack acme/one 1\.0\.0 is in the order"):
        read_package([whole])
    one, two = (_buildpack(tmp_path / name, f"acme/{name}") for name in ("one", "two"))
    with pytest.raises(UsageError, match="no order in the package names acme/two"):
        read_package([whole, one, two])
    with pytest.raises(UsageError, match=r"acme/one 1\.0\.0 is in the package twice"):
        read_package([whole, one, one])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dependencies = 1", "cannot be read: dependencies must be an array of tables"),
        ("a = ", "cannot be read"),
        ('[buildpack]\nuri = "../one"', "uri is '../one'"),
        ('[[dependencies]]\nimage = "docker.io/x/y"', "a dependency is 'docker.io/x/y'"),
        ('[[dependencies]]\nuri = "https://x/y.tgz"', "a dependency is 'https://x/y.tgz'"),
        ('[[dependencies]]\nuri = "nowhere"', "'nowhere' holds no buildpack.toml"),
    ],
)
def test_a_package_toml_that_cannot_be_used_is_named(tmp_path: Path, text: str, problem: str) -> None:
    _buildpack(tmp_path / "one", "acme/one")
    whole = _composite(tmp_path / "all", "acme/one")
    (whole / "package.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        folders_of(whole)
    assert problem in caught.value.message
    assert str(whole / "package.toml") in caught.value.message


def test_a_classic_buildpack_has_no_package(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "compile").write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match="is a classic buildpack") as caught:
        folders_of(tmp_path)
    assert "https://HOST/NAME.tgz#sha256=" in caught.value.hint


def test_the_stacks_are_those_that_all_parts_have_with_all_their_mixins(tmp_path: Path) -> None:
    one = _buildpack(tmp_path / "one", "acme/one", 'stacks = [{id = "a", mixins = ["x"]}, {id = "b"}]')
    two = _buildpack(tmp_path / "two", "acme/two", 'stacks = [{id = "c"}, {id = "a", mixins = ["y"]}]')
    any_ = _buildpack(tmp_path / "any", "acme/any", 'stacks = [{id = "*"}]')
    whole = _composite(tmp_path / "all", "acme/one", "acme/two", "acme/any")
    metadata = _labels(read_package([whole, one, two, any_]))[PACKAGE_LABEL]
    assert isinstance(metadata, dict)
    assert metadata["stacks"] == [{"id": "a", "mixins": ["x", "y"]}]
    three = _buildpack(tmp_path / "three", "acme/two", 'stacks = [{id = "c"}]')
    package = read_package([whole, one, three, any_])
    with pytest.raises(UsageError, match="no stack in common"):
        _labels(package)


@pytest.mark.parametrize("text", ["", "[]", "{", "1", '{"id": 1, "version": "1"}', '{"id": "a"}'])
def test_labels_that_are_no_packages_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="label"):
        entry_of({PACKAGE_LABEL: text} if text else {})
    assert entry_of({PACKAGE_LABEL: '{"id": "a/b", "version": "1"}'}) == ("a/b", "1")
