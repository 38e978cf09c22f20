from pathlib import Path

import pytest
from pythonpack import detection
from pythonpack.cnb import Refusal, Verdict

PROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = []\n'


def _app(folder: Path, *names: str, **texts: str) -> Path:
    for name in names:
        (folder / name).write_text("")
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


@pytest.mark.parametrize(
    "name", ["requirements.txt", "uv.lock", "manage.py", "main.py", ".python-version", "Pipfile"]
)
def test_a_file_that_only_python_apps_have_passes(tmp_path: Path, name: str) -> None:
    verdict = detection.decide(_app(tmp_path, name))
    assert verdict == Verdict(True, name, requires="node-assets")


def test_a_pyproject_that_only_configures_tools_is_no_app(tmp_path: Path) -> None:
    assert not detection.decide(_app(tmp_path, pyproject__toml="[tool.ruff]\n")).passed
    assert detection.decide(_app(tmp_path, pyproject__toml=PROJECT)).passed


def test_what_was_looked_for_is_told(tmp_path: Path) -> None:
    verdict = detection.decide(_app(tmp_path, "README.md"))
    assert not verdict.passed
    assert "no requirements.txt, uv.lock, pyproject.toml" in verdict.reason


def test_a_misspelt_requirements_file_fails_even_beside_a_main_py(tmp_path: Path) -> None:
    verdict = detection.decide(_app(tmp_path, "requirments.txt", "main.py"))
    assert not verdict.passed
    assert "requirments.txt: is it misspelt?" in verdict.reason


def test_requirements_win_over_a_pyproject_that_has_no_lock(tmp_path: Path) -> None:
    app = _app(tmp_path, "requirements.txt", pyproject__toml=PROJECT)
    assert detection.dependencies(app) == detection.Dependencies("requirements.txt", "pip")


def test_a_project_without_lock_is_installed_from_pyproject(tmp_path: Path) -> None:
    assert detection.dependencies(_app(tmp_path, pyproject__toml=PROJECT)).manager == "pyproject"


def test_no_declaration_at_all_needs_nothing(tmp_path: Path) -> None:
    assert detection.dependencies(_app(tmp_path, "main.py")) == detection.Dependencies("", "none")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["requirements.txt", "uv.lock"], "requirements.txt and uv.lock"),
        (["requirements.txt", "poetry.lock"], "requirements.txt and poetry.lock"),
        (["uv.lock"], "no pyproject.toml"),
        (["poetry.lock"], "poetry.lock is there, but no pyproject.toml"),
        (["Pipfile"], "a Pipfile, but no Pipfile.lock"),
        (["Pipfile.lock"], "Pipfile.lock is there, but no Pipfile"),
        (["Pipfile", "Pipfile.lock", "poetry.lock"], "poetry.lock and Pipfile.lock"),
        (["pdm.lock"], "pdm.lock is PDM's"),
        (["setup.py"], "setup.py is setuptools's"),
    ],
)
def test_what_cannot_be_installed_from_is_refused_with_a_remedy(
    tmp_path: Path, names: list[str], words: str
) -> None:
    with pytest.raises(Refusal, match=words) as refusal:
        detection.dependencies(_app(tmp_path, *names))
    assert refusal.value.hint


def test_a_pyproject_of_poetry_needs_its_lock(tmp_path: Path) -> None:
    app = _app(tmp_path, pyproject__toml="[tool.poetry]\npackage-mode = false\n")
    assert detection.decide(app).passed
    with pytest.raises(Refusal, match=r"no poetry\.lock") as refusal:
        detection.dependencies(app)
    assert "`poetry lock`" in refusal.value.hint
    (app / "poetry.lock").write_text("")
    assert detection.dependencies(app) == detection.Dependencies("poetry.lock", "poetry")


def test_a_committed_virtual_environment_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    with pytest.raises(Refusal, match="env/ is a virtual environment") as refusal:
        detection.dependencies(_app(tmp_path, "requirements.txt"))
    assert "git rm -r --cached env" in refusal.value.hint


def test_a_broken_pyproject_is_refused_with_the_line(tmp_path: Path) -> None:
    app = _app(tmp_path, pyproject__toml="[project\n")
    assert detection.decide(app).passed
    with pytest.raises(Refusal, match="line 1"):
        detection.dependencies(app)
