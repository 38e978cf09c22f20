from pathlib import Path

import pytest

from gitreceive.buildpacks.lint import lint
from gitreceive.buildpacks.skeleton import skeleton
from gitreceive.errors import UsageError


def _write(folder: Path, identity: str, file: str = "") -> Path:
    for draft in skeleton(identity, file):
        path = folder / draft.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(draft.text)
        path.chmod(0o755 if draft.executable else 0o644)
    return folder


@pytest.mark.parametrize(("identity", "file"), [("acme/lua", ""), ("perl", "app.pl"), ("a/b/c-d.e", "x_y")])
def test_nothing_is_wrong_with_a_skeleton(identity: str, file: str, tmp_path: Path) -> None:
    assert lint(_write(tmp_path, identity, file)) == ()


def test_a_skeleton_is_filled_in_everywhere(tmp_path: Path) -> None:
    drafts = skeleton("acme/lua", "app.lua")
    assert not any("@" in draft.path for draft in drafts)
    assert not any(place in draft.text for draft in drafts for place in ("@id@", "@name@", "@file@"))
    assert "test/app/app.lua" in [draft.path for draft in drafts]


@pytest.mark.parametrize(
    ("identity", "file"),
    [
        ("app", ""),
        ("a b", ""),
        ("", ""),
        ("acme/", ""),
        ("acme/..", ""),
        ("a", "x/y"),
        ("a", "-x"),
        ("a", '"'),
    ],
)
def test_names_that_cannot_be_are_refused(identity: str, file: str) -> None:
    with pytest.raises(UsageError):
        skeleton(identity, file)
