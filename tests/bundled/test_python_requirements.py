from pathlib import Path

import pytest
from pythonpack.cnb import Refusal
from pythonpack.detection import Dependencies
from pythonpack.requirements import declared

PIP = Dependencies("requirements.txt", "pip")


def _write(app: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (app / f"{name}.txt").write_text(text)
    return app


def test_included_files_belong_to_what_is_declared(tmp_path: Path) -> None:
    _write(
        tmp_path, requirements="-r base.txt\nflask\n", base="-c pins.txt # why\njinja2\n", pins="jinja2==3\n"
    )
    first = declared(tmp_path, PIP)
    assert first.files == ("base.txt", "pins.txt", "requirements.txt")
    _write(tmp_path, pins="jinja2==4\n")
    assert declared(tmp_path, PIP).digest != first.digest


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    _write(tmp_path, requirements="-r base.txt\n", base="-r requirements.txt\n")
    assert declared(tmp_path, PIP).files == ("base.txt", "requirements.txt")


def test_an_include_that_is_missing_or_outside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"dev.txt is included, but is not there"):
        declared(_write(tmp_path, requirements="-r dev.txt\n"), PIP)
    with pytest.raises(Refusal, match="outside the app"):
        declared(_write(tmp_path, requirements="-r ../../etc/passwd\n"), PIP)


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("flask==3.1.* # web", False),
        ("-e .", True),
        (".", True),
        (".[dev]", True),
        ("./vendored/package", True),
        ("vendored/package", True),
        ("package @ file:vendored", True),
        ("package @ git+https://git.example/package.git", False),
        ("--hash=sha256:00", False),
        ("uvicorn[standard]>=0.30", False),
    ],
)
def test_a_requirement_in_the_apps_own_tree_is_noticed(tmp_path: Path, line: str, local: bool) -> None:
    assert declared(_write(tmp_path, requirements=line + "\n"), PIP).local is local


def test_a_project_that_is_built_as_a_package_depends_on_its_whole_tree(tmp_path: Path) -> None:
    project = '[project]\nname = "shop"\nversion = "1"\n'
    (tmp_path / "pyproject.toml").write_text(project)
    assert not declared(tmp_path, Dependencies("pyproject.toml", "pyproject")).local
    (tmp_path / "pyproject.toml").write_text(project + '[build-system]\nrequires = ["hatchling"]\n')
    assert declared(tmp_path, Dependencies("pyproject.toml", "pyproject")).local
