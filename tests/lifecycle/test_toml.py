"""Reading what buildpacks and people wrote: it is never trusted to be TOML, a file, or small."""

import os
from pathlib import Path

import pytest

from gitreceive.lifecycle import toml
from gitreceive.lifecycle.toml import LARGEST, UnreadableError


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb = \n", r"Invalid value \(at line 2, column 5\)"),
        (b"a = 1\nb = '\xff'\n", r"it is not UTF-8 \(at line 2\)"),
        (b"a = 1 #" + b"x" * LARGEST, "it is larger than 1 MiB"),
        (b"a = " + b"[" * 100_000, "its values are nested too deeply"),
    ],
)
def test_what_is_no_toml_says_why_and_where(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(UnreadableError, match=said):
        toml.read(tmp_path / "x.toml")


def test_a_pipe_or_a_folder_in_its_place_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(UnreadableError):
            toml.read(path)
    with pytest.raises(UnreadableError, match="No such file"):
        toml.read(tmp_path / "none")


@pytest.mark.parametrize("value", [1, "x", {"a": 1}, [1], [[]]])
def test_only_an_array_of_tables_is_one(value: object) -> None:
    with pytest.raises(ValueError, match=r"processes must be an array of tables: \[\[processes\]\]"):
        toml.tables({"processes": value}, "processes")
    assert toml.tables({}, "processes") == []
