import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from gitreceive.lifecycle import pack
from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.layers import ContractError, read_launch
from gitreceive.lifecycle.slices import cut

OWNER = (1000, 1000)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    for name in (
        "main.py",
        "node_modules/a/index.js",
        "node_modules/b/index.js",
        "public/x.png",
        "public/y.txt",
    ):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(name)
    return app


def _paths(app: Path, *wanted: Sequence[str]) -> list[tuple[str, ...]]:
    return [part.paths for part in cut(app, wanted)]


def _names(chunks: Iterable[bytes]) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return tar.getnames()


def test_a_slice_is_what_its_globs_match(app: Path) -> None:
    assert _paths(app, ["node_modules"], ["public/*.png", "absent"]) == [("node_modules",), ("public/x.png",)]


def test_a_path_goes_to_the_first_slice_that_takes_it(app: Path) -> None:
    assert _paths(app, ["node_modules/a"], ["node_modules/*"]) == [("node_modules/a",), ("node_modules/b",)]


def test_a_slice_without_paths_makes_no_layer(app: Path) -> None:
    assert _paths(app, ["absent"], []) == []


def test_a_folder_counts_once_with_what_is_in_it(app: Path) -> None:
    assert _paths(app, ["public/*", "public"]) == [("public",)]


def test_what_lies_behind_a_link_is_not_taken(app: Path) -> None:
    (app / "linked").symlink_to("public")
    assert _paths(app, ["linked/*"], ["linked"]) == [("linked",)]


def test_slices_and_the_app_together_hold_everything_once(app: Path) -> None:
    (app / "node_modules" / "link").symlink_to("../main.py")
    (part,) = cut(app, [["node_modules", "public/x.png"]])
    sliced = _names(pack.parts(app, "workspace", OWNER, part.paths))
    rest = _names(pack.tree(app, "workspace", OWNER, set(part.paths)))
    assert "workspace/node_modules/a/index.js" in sliced
    assert "workspace/node_modules/link" in sliced
    assert rest == ["workspace", "workspace/main.py", "workspace/public", "workspace/public/y.txt"]
    shared = set(sliced) & set(rest)
    assert shared == {"workspace", "workspace/public"}
    assert set(sliced) | set(rest) == set(_names(pack.tree(app, "workspace", OWNER)))


def test_a_slice_is_the_same_while_its_content_is(app: Path) -> None:
    def digest() -> str:
        return hashlib.sha256(b"".join(pack.parts(app, "workspace", OWNER, ("node_modules",)))).hexdigest()

    before = digest()
    (app / "main.py").write_text("changed")
    assert digest() == before
    (app / "node_modules" / "a" / "index.js").write_text("changed")
    assert digest() != before


@pytest.mark.parametrize(
    "slices", ['[{paths = ["/etc"]}]', '[{paths = ["a/../../b"]}]', '[{paths = "a"}]', "[{}]", '[""]']
)
def test_a_slice_that_leads_out_of_the_app_is_refused(slices: str, tmp_path: Path) -> None:
    (tmp_path / "launch.toml").write_text(f"slices = {slices}\n")
    with pytest.raises(ContractError, match="slice"):
        read_launch(Buildpack("test/a", "1.0", (0, 10), tmp_path), tmp_path)
