from pathlib import Path

import pytest

from gitreceive.buildpacks.inputs import Watched, fingerprint, watched
from gitreceive.lifecycle.folder import Buildpack, Folder
from gitreceive.model import TreeEntry

PLAIN, EXECUTABLE, SYMLINK = 0o100644, 0o100755, 0o120000


def _entry(path: str, content: str = "a", mode: int = PLAIN) -> TreeEntry:
    return TreeEntry(path.encode(), mode, content)


@pytest.mark.parametrize(
    ("glob", "path", "counts"),
    [
        ("requirements.txt", "requirements.txt", True),
        ("requirements.txt", "sub/requirements.txt", False),
        ("requirements.txt", "requirementsxtxt", False),
        ("./requirements.txt", "requirements.txt", True),
        ("*.py", "app.py", True),
        ("*.py", "shop/app.py", False),
        ("**/*.py", "app.py", True),
        ("**/*.py", "a/b/app.py", True),
        ("**/*.py", "a/b/app.pyc", False),
        ("*/pyvenv.cfg", "venv/pyvenv.cfg", True),
        ("*/pyvenv.cfg", "a/venv/pyvenv.cfg", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "b/z", False),
        ("config", "config/deep/one.toml", True),
        ("config/**", "config/one.toml", True),
        ("lock.[ab]", "lock.a", True),
        ("lock.[ab]", "lock.c", False),
        ("lock.[!ab]", "lock.c", True),
        ("a[!b]c", "a/c", False),
        ("[", "[", True),
        ("a?c", "a/c", False),
        ("a?c", "aëc", True),
        (".gitattributes is always an input", "sub/.gitattributes", True),
    ],
)
def test_a_change_counts_where_a_glob_matches(glob: str, path: str, counts: bool) -> None:
    watch = Watched((glob,), ())
    before = fingerprint([_entry("a"), _entry(path, "old")], watch)
    assert (fingerprint([_entry("a"), _entry(path, "new")], watch) != before) is counts
    assert (fingerprint([_entry("a"), _entry(path, "old", EXECUTABLE)], watch) != before) is counts
    assert (fingerprint([_entry("a")], watch) != before) is counts


def test_what_detection_looks_for_counts_by_being_there_alone() -> None:
    watch = Watched((), ("app.py",))
    before = fingerprint([_entry("app.py", "old")], watch)
    assert fingerprint([_entry("app.py", "new")], watch) == before
    assert fingerprint([], watch) != before


@pytest.mark.parametrize(
    ("glob", "link", "unknown"),
    [
        ("requirements.txt", "requirements.txt", True),
        ("conf/app.toml", "conf", True),
        ("conf/app.toml", "other", False),
        ("conf/app.toml", "conf/other.toml", False),
        ("**/*.py", "anything", True),
        ("conf", "conf/deep/link", True),
    ],
)
def test_a_symbolic_link_on_the_way_to_an_input_leaves_nothing_known(
    glob: str, link: str, unknown: bool
) -> None:
    entries = [_entry(link, mode=SYMLINK)]
    for watch in (Watched((glob,), ()), Watched((), (glob,))):
        assert (fingerprint(entries, watch) is None) is unknown


def _folder(**detects: tuple[str, ...]) -> Folder:
    return Folder(
        {
            f"test/{name}": (Buildpack(f"test/{name}", "1", (0, 10), Path("/"), detects=globs),)
            for name, globs in detects.items()
        }
    )


FOLDER = _folder(other=("package.json",), one=("app.py",), silent=())


def test_of_who_was_tried_and_does_not_build_the_content_counts() -> None:
    found = watched(FOLDER, {"test/one": ["needs"]}, ["test/one@1"], ["test/other@1", "test/one@1"])
    assert found == Watched(("needs", "package.json"), ("app.py",))


@pytest.mark.parametrize(
    ("inputs", "tried"),
    [
        ({"test/one": ["**"]}, ["test/one@1"]),
        ({"test/one": ["../x"]}, ["test/one@1"]),
        ({}, ["test/one@1"]),
        ({"test/one": ["needs"]}, ["test/silent@1", "test/one@1"]),
        ({"test/one": ["needs"]}, ["test/gone@1", "test/one@1"]),
    ],
)
def test_anything_may_count_where_somebody_does_not_say(
    inputs: dict[str, list[str]], tried: list[str]
) -> None:
    assert watched(FOLDER, inputs, ["test/one@1"], tried) is None
