from pathlib import Path

import pytest

from gitreceive.buildpacks.order import choose, read_folder
from gitreceive.errors import ConfigError, DetectError
from gitreceive.lifecycle.folder import Buildpack, Folder, Member


def _folder(*groups: tuple[Member, ...], more: tuple[str, ...] = ()) -> Folder:
    ids = {member.id for group in groups for member in group} | set(more)
    return Folder({one: (Buildpack(one, "1", (0, 10), Path("/nowhere")),) for one in ids}, groups)


PYTHON, NODE = Member("g/python", "1"), Member("g/nodejs", "1", optional=True)
PROCFILE = Member("g/procfile", "1", optional=True)


def test_without_a_wish_the_order_is_the_folders() -> None:
    folder = _folder((PYTHON, PROCFILE), (NODE,))
    assert choose(folder, None) == folder.order


@pytest.mark.parametrize("wanted", ["g/nodejs", "nodejs"])
def test_the_wanted_buildpack_must_take_it_and_what_is_optional_after_it_may(wanted: str) -> None:
    folder = _folder((NODE, PYTHON, PROCFILE), (PYTHON,))
    assert choose(folder, wanted) == ((Member("g/nodejs", "1"), PROCFILE),)


def test_a_wanted_buildpack_outside_the_order_builds_alone() -> None:
    assert choose(_folder((PYTHON,), more=("x/rare",)), "rare") == ((Member("x/rare", ""),),)


def test_an_unknown_wish_lists_the_known() -> None:
    with pytest.raises(DetectError, match="buildpack=cobol is not a buildpack here") as caught:
        choose(_folder((PYTHON, PROCFILE)), "cobol")
    assert caught.value.hint == "known: g/procfile, g/python"


def test_a_wish_that_fits_several_names_them() -> None:
    with pytest.raises(DetectError, match="names several") as caught:
        choose(_folder((PYTHON,), more=("x/python",)), "python")
    assert caught.value.hint == "known: g/python, x/python"


def test_a_folder_without_order_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"order\.toml cannot be read"):
        read_folder(tmp_path)
