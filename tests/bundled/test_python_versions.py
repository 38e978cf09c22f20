from pathlib import Path

import pytest
from pythonpack import versions
from pythonpack.cnb import Refusal


@pytest.mark.parametrize(
    ("specifier", "fits"),
    [
        (">=3.10", True),
        (">=3.10,<3.13", True),
        (">=3.12", False),
        ("==3.11.*", True),
        ("==3.11", False),
        ("==3.11.2", True),
        ("!=3.11.*", False),
        ("~=3.10", True),
        ("~=3.11.0", True),
        ("~=3.10.1", False),
        (">3.11.2", False),
        ("<=3.11.2", True),
        ("<4", True),
        ("", True),
    ],
)
def test_a_specifier_is_read_as_pep_440_says(specifier: str, fits: bool) -> None:
    assert versions.satisfies((3, 11, 2), specifier) is fits


@pytest.mark.parametrize(
    ("text", "specifier"),
    [
        ("3.11\n", "==3.11.*"),
        ("3.11.4", "==3.11.4"),
        ("3", "==3.*"),
        ("# comment\npython-3.12\n", "==3.12.*"),
    ],
)
def test_a_version_file_holds_one_version(tmp_path: Path, text: str, specifier: str) -> None:
    (tmp_path / ".python-version").write_text(text)
    assert versions.wanted(tmp_path) == versions.Wanted(specifier, ".python-version")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3.11\n3.12\n", "2 versions"),
        ("", "no versions"),
        ("\ufeff3.11", "byte order mark"),
        ("pypy3", "'pypy3'"),
        ("3.11.x", "'3.11.x'"),
    ],
)
def test_a_version_file_with_anything_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / ".python-version").write_text(text, encoding="utf-8")
    with pytest.raises(Refusal, match=words):
        versions.wanted(tmp_path)


def test_the_version_file_wins_over_runtime_txt_and_that_over_requires_python(tmp_path: Path) -> None:
    assert versions.wanted(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\nrequires-python = ">=3.9"\n')
    assert versions.wanted(tmp_path) == versions.Wanted(">=3.9", "requires-python in pyproject.toml")
    (tmp_path / "runtime.txt").write_text("python-3.10")
    assert versions.wanted(tmp_path) == versions.Wanted("==3.10.*", "runtime.txt")
    (tmp_path / ".python-version").write_text("3.11")
    assert versions.wanted(tmp_path) == versions.Wanted("==3.11.*", ".python-version")


def test_a_malformed_requires_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\nrequires-python = "^3.9"\n')
    with pytest.raises(Refusal, match="no version specifier"):
        versions.wanted(tmp_path)
