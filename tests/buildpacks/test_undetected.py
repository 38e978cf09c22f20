from pathlib import Path
from typing import Any

import pytest

from gitreceive.buildpacks.undetected import explain, nearest_misspelling
from gitreceive.lifecycle.folder import Buildpack, Folder

FOLDER = Folder(
    {
        "g/python": (
            Buildpack("g/python", "1", (0, 10), Path(), detects=("requirements.txt", "pyproject.toml")),
        ),
        "g/nodejs": (Buildpack("g/nodejs", "1", (0, 10), Path(), detects=("package.json",)),),
    }
)


def _verdict(name: str, verdict: str = "fail", code: int = 100, output: str = "") -> dict[str, Any]:
    return {"id": name, "version": "1", "verdict": verdict, "code": code, "output": output}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["requirments.txt"], ("requirments.txt", "requirements.txt")),
        (["Requirements.txt"], ("Requirements.txt", "requirements.txt")),
        (["pakage.json", "readme"], ("pakage.json", "package.json")),
        (["requirements.txt", "requirements.tx"], None),
        (["main.go", "go.mod"], None),
        ([], None),
    ],
)
def test_the_nearest_misspelling_is_named(names: list[str], found: tuple[str, str] | None) -> None:
    wanted = ["requirements.txt", "pyproject.toml", "package.json"]
    assert nearest_misspelling(names, wanted) == found


def test_each_verdict_is_told_with_its_reason() -> None:
    verdicts = [_verdict("g/python", output="no requirements.txt\n"), _verdict("g/nodejs", output="a\nb\n")]
    said = explain(verdicts, ["g/python: …"], ["main.go"], FOLDER)
    assert said.message == "no buildpack matched: tried g/python, g/nodejs"
    assert said.lines == (
        "g/python 1 does not take it: no requirements.txt",
        "g/nodejs 1 does not take it",
        "    a",
        "    b",
        "files at the root: main.go",
    )
    assert said.hint.endswith(": requirements.txt (g/python), package.json (g/nodejs)")


def test_a_misspelling_is_the_message_and_its_cure_the_hint() -> None:
    said = explain([_verdict("g/python")], [], ["requirments.txt"], FOLDER)
    assert said.message == "no buildpack matched: is requirments.txt meant to be requirements.txt?"
    assert said.lines[-1] == "requirments.txt looks like requirements.txt, which g/python looks for"
    assert said.hint == "git mv requirments.txt requirements.txt"


def test_a_broken_buildpack_comes_before_a_misspelling() -> None:
    said = explain([_verdict("g/python", "error", 1, "oops")], [], ["requirments.txt"], FOLDER)
    assert said.message == "no buildpack matched: g/python is broken"
    assert said.lines[0] == "g/python 1 is broken (bin/detect ended with exit code 1): oops"
    assert said.hint.startswith("its author has to mend it")


def test_groups_are_explained_where_a_buildpack_took_it_and_its_group_did_not_fit() -> None:
    said = explain([_verdict("g/python", "pass", 0)], ["g/python: provides x"], ["a"], FOLDER)
    assert "group g/python: provides x" in said.lines


def test_build_plans_that_do_not_fit_are_the_message() -> None:
    reasons = [
        "g/nodejs: g/nodejs 1 does not take it",
        "g/python + g/web: g/web 1 does not take it",
        "g/python: g/python 1 requires 'x', which no buildpack before it provides",
    ]
    said = explain([_verdict("g/nodejs"), _verdict("g/python", "pass", 0)], reasons, ["a"], FOLDER)
    assert said.message == (
        "no buildpack matched: g/web 1 does not take it, and g/python + g/web build together"
    )
    assert said.hint == "add what each of them looks for"


def test_an_empty_source_says_so() -> None:
    said = explain([_verdict("g/python")], [], [], FOLDER)
    assert said.message == "no buildpack matched: the source is empty"
    assert said.hint == "commit the app's files: git add . && git commit"


def test_a_long_listing_is_cut() -> None:
    said = explain([_verdict("g/python")], [], [f"f{n}" for n in range(50)], FOLDER)
    assert "f39 and 10 more" in said.lines[-1]
