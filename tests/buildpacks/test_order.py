from pathlib import Path

import pytest

from gitreceive.buildpacks.order import arrange, find, read_folder
from gitreceive.errors import ConfigError, DetectError
from gitreceive.lifecycle.folder import Buildpack, Folder, Group, Member
from gitreceive.model import BuildpackRef, Choice


def _folder(*groups: tuple[Member, ...], more: tuple[str, ...] = ()) -> Folder:
    ids = {member.id for group in groups for member in group} | set(more)
    return Folder({one: (Buildpack(one, "1", (0, 10), Path("/nowhere")),) for one in ids}, groups)


PYTHON, NODE = Member("g/python", "1"), Member("g/nodejs", "1", optional=True)
PROCFILE = Member("g/procfile", "1", optional=True)


def _arrange(folder: Folder, *texts: str, **around: str) -> tuple[Group, ...]:
    choice = Choice(
        by="the test" if texts else "",
        group=tuple(map(BuildpackRef.parse, texts)),
        before=tuple(BuildpackRef.parse(text) for name, text in around.items() if name == "before"),
        after=tuple(BuildpackRef.parse(text) for name, text in around.items() if name == "after"),
    )
    wanted = [*choice.before, *choice.group, *choice.after]
    return arrange(
        folder,
        choice,
        {one: find(folder, one, "the test") for one in wanted if isinstance(one, BuildpackRef)},
    )


def test_without_a_choice_the_order_is_the_folders() -> None:
    folder = _folder((PYTHON, PROCFILE), (NODE,))
    assert arrange(folder, Choice(), {}) == folder.order


@pytest.mark.parametrize("wanted", ["g/nodejs", "nodejs", "nodejs@1"])
def test_the_wanted_buildpack_must_take_it_and_what_is_optional_after_it_may(wanted: str) -> None:
    folder = _folder((NODE, PYTHON, PROCFILE), (PYTHON,))
    assert _arrange(folder, wanted) == ((Member("g/nodejs", "1"), PROCFILE),)


def test_a_chosen_group_is_the_only_one_and_what_ends_the_order_stays_behind_it() -> None:
    folder = _folder((PYTHON, PROCFILE), (NODE, PROCFILE), more=("x/rare",))
    assert _arrange(folder, "nodejs", "python") == ((Member("g/nodejs", "1"), PYTHON, PROCFILE),)
    assert _arrange(folder, "x/rare") == ((Member("x/rare", "1"), PROCFILE),)
    assert _arrange(folder, "procfile", "x/rare") == ((Member("g/procfile", "1"), Member("x/rare", "1")),)


def test_what_is_put_around_groups_is_around_each_and_not_twice() -> None:
    folder = _folder((PYTHON, PROCFILE), (NODE, PROCFILE), more=("x/first",))
    first, last = Member("x/first", "1"), Member("g/procfile", "1")
    assert _arrange(folder, before="x/first", after="procfile") == (
        (first, PYTHON, last),
        (first, NODE, last),
    )


def test_a_wanted_buildpack_outside_the_order_builds_alone() -> None:
    assert _arrange(_folder((PYTHON,), more=("x/rare",)), "rare") == ((Member("x/rare", "1"),),)


def test_an_unknown_wish_lists_the_known() -> None:
    with pytest.raises(DetectError, match="the test: cobol is not a buildpack here") as caught:
        _arrange(_folder((PYTHON, PROCFILE)), "cobol")
    assert caught.value.hint == "known: g/procfile, g/python"


def test_a_wish_that_fits_several_names_them() -> None:
    with pytest.raises(DetectError, match="names several") as caught:
        _arrange(_folder((PYTHON,), more=("x/python",)), "python")
    assert caught.value.hint == "known: g/python, x/python"


def test_another_version_than_there_is_lists_those_that_are() -> None:
    with pytest.raises(DetectError, match="python@2 is not there in this version") as caught:
        _arrange(_folder((PYTHON,)), "python@2")
    assert caught.value.hint == "known: g/python@1"


def test_a_folder_without_order_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"order\.toml cannot be read"):
        read_folder(tmp_path)
