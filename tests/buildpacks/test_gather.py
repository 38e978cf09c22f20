from collections.abc import Callable
from pathlib import Path

import pytest

from gitreceive.buildpacks.gather import Gathered, gather
from gitreceive.errors import DetectError
from gitreceive.lifecycle.folder import Buildpack, Folder, Member
from gitreceive.model import BuildpackRef, Choice, InlineBuildpack, Wanted
from gitreceive.ports import FetchedBuildpack

OWN = Folder(
    {one: (Buildpack(one, "1", (0, 10), Path("/nowhere")),) for one in ("g/python", "g/procfile")},
    ((Member("g/python", "1"), Member("g/procfile", "1", optional=True)),),
)
PROCFILE = Member("g/procfile", "1", optional=True)


def _describe(identity: str, *, version: str = "2", api: str = "0.10", more: str = "") -> str:
    return f'api = "{api}"\n[buildpack]\nid = "{identity}"\nversion = "{version}"\n{more}'


def _write(folder: Path, description: str) -> None:
    (folder / "bin").mkdir(parents=True)
    for program in ("detect", "build"):
        (folder / "bin" / program).touch()
    (folder / "buildpack.toml").write_text(description)


def _gather(
    tmp_path: Path,
    *wanted: Wanted | str,
    copy: Callable[[str, Path], None] = lambda _path, _target: None,
    fetched: FetchedBuildpack | None = None,
) -> Gathered:
    def fetch(ref: BuildpackRef) -> FetchedBuildpack:
        assert fetched, ref
        return fetched

    group = tuple(BuildpackRef.parse(one) if isinstance(one, str) else one for one in wanted)
    return gather(Choice("the test", group), OWN, tmp_path / "place", copy, fetch)


def test_the_servers_own_are_found_by_id(tmp_path: Path) -> None:
    gathered = _gather(tmp_path, "python")
    assert (gathered.folder.buildpacks, gathered.extra) == (OWN.buildpacks, ())
    assert gathered.order == ((Member("g/python", "1"), PROCFILE),)


def test_a_folder_of_the_source_stands_beside_them(tmp_path: Path) -> None:
    def copy(path: str, target: Path) -> None:
        assert path == "ci/pack"
        _write(target, _describe("me/pack"))

    gathered = _gather(tmp_path, "./ci/pack", "g/python", copy=copy)
    assert [b.id for b in gathered.extra] == ["me/pack"]
    assert gathered.order == ((Member("me/pack", "2"), Member("g/python", "1"), PROCFILE),)
    assert gathered.folder.find(Member("me/pack", "2")).path.is_dir()


def test_a_classic_one_is_called_as_its_folder(tmp_path: Path) -> None:
    def copy(_path: str, target: Path) -> None:
        (target / "bin").mkdir(parents=True)
        for program in ("detect", "compile"):
            (target / "bin" / program).touch()

    assert _gather(tmp_path, "./ci/mine", copy=copy).order == ((Member("classic/mine", "0"), PROCFILE),)


def test_a_script_takes_every_source_and_runs_by_its_shell(tmp_path: Path) -> None:
    gathered = _gather(
        tmp_path, InlineBuildpack("me/assets", "0.0.0", "0.10", "/bin/bash", 'echo "two\nlines"')
    )
    (buildpack,) = gathered.extra
    assert (buildpack.id, buildpack.inputs, buildpack.detects) == ("me/assets", None, ())
    assert (buildpack.path / "bin" / "build").read_text() == '#!/bin/bash\n\necho "two\nlines"\n'
    assert (buildpack.path / "bin" / "detect").stat().st_mode & 0o111


def test_what_a_choice_brings_takes_the_place_of_the_same_version(tmp_path: Path) -> None:
    def copy(_path: str, target: Path) -> None:
        _write(target, _describe("g/python", version="1"))

    gathered = _gather(tmp_path, "./python", copy=copy)
    (own,) = gathered.folder.buildpacks["g/python"]
    assert own in gathered.extra


def test_what_was_fetched_comes_with_its_parts(tmp_path: Path) -> None:
    order = '[[order]]\n[[order.group]]\nid = "far/part"\nversion = "2"\n'
    elsewhere = tmp_path / "fetched"
    (elsewhere / "far_all" / "2").mkdir(parents=True)
    (elsewhere / "far_all" / "2" / "buildpack.toml").write_text(_describe("far/all", more=order))
    _write(elsewhere / "far_part" / "2", _describe("far/part"))
    gathered = _gather(
        tmp_path,
        f"docker://r/far@sha256:{'a' * 64}",
        fetched=FetchedBuildpack("far/all", "2", elsewhere),
    )
    assert sorted(b.id for b in gathered.extra) == ["far/all", "far/part"]
    assert gathered.order[0][0] == Member("far/all", "2")


LOOP = '[[order]]\n[[order.group]]\nid = "me/pack"\nversion = "2"\n'


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ("api = ", r"\./ci/pack/buildpack\.toml cannot be read"),
        (_describe("me/pack", api="0.99"), r"\./ci/pack/buildpack\.toml: Buildpack API '0\.99' is not known"),
        (_describe("me/pack", version="../../../usr"), "cannot be the version of me/pack"),
        (_describe("../pack"), "cannot be a buildpack's id"),
        (_describe("me/pack", more=LOOP), "contains itself: me/pack → me/pack"),
        (_describe("me/pack", more=LOOP.replace("me/pack", "no/such")), "no/such 2 is in the order"),
    ],
)
def test_a_broken_one_is_told_by_its_place_in_the_source(tmp_path: Path, description: str, why: str) -> None:
    with pytest.raises(DetectError, match=why) as caught:
        _gather(tmp_path, "./ci/pack", copy=lambda _path, target: _write(target, description))
    assert caught.value.message.startswith("the test: ")
    assert str(tmp_path) not in caught.value.message


def test_a_folder_that_is_not_there_or_holds_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(DetectError, match=r"the source has no folder \./ci"):
        _gather(tmp_path, "./ci")
    with pytest.raises(DetectError, match=r"\./ci is no buildpack"):
        _gather(tmp_path / "b", "./ci", copy=lambda _path, target: _write_text(target))


def _write_text(target: Path) -> None:
    (target / "README").write_text("hello")


def test_a_script_of_an_unknown_api_is_told(tmp_path: Path) -> None:
    with pytest.raises(DetectError, match="the test: the script me/a: Buildpack API '9' is not known"):
        _gather(tmp_path, InlineBuildpack("me/a", "1", "9", "/bin/sh", "true"))


def test_one_buildpack_by_two_names_is_named_twice(tmp_path: Path) -> None:
    with pytest.raises(DetectError, match="g/python is named twice"):
        _gather(tmp_path, "python", "g/python")
