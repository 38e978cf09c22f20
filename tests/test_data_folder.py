"""The server's data folder."""

import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gitreceive import data_folder
from gitreceive.config import Settings
from gitreceive.errors import UnavailableError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)
    return Settings(data_dir=tmp_path / "data")


def test_what_a_killed_server_had_for_a_moment_is_gone_with_the_next(settings: Settings) -> None:
    left = settings.data_dir / "tmp" / "gitreceive-copy-1"
    left.mkdir(parents=True)
    (left / "layer").write_bytes(b"half of it")
    data_folder.keep_temporary_files(settings)
    assert not left.exists()
    assert stat.S_IMODE((settings.data_dir / "tmp").stat().st_mode) == 0o700


def test_it_and_what_it_starts_write_for_a_moment_into_the_data_folder(settings: Settings) -> None:
    settings.data_dir.mkdir()
    data_folder.keep_temporary_files(settings)
    program = "import tempfile; print(tempfile.gettempdir())"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (tempfile.gettempdir(), child.stdout.strip()) == (str(settings.data_dir / "tmp"),) * 2


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(settings: Settings) -> None:
    settings.data_dir.write_text("a file")
    with pytest.raises(UnavailableError, match="tmp cannot be emptied") as told:
        data_folder.keep_temporary_files(settings)
    assert told.value.hint == "see to the disk"
