"""The generated pages are what their sources say: run scripts/docs after changing a setting or a command."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_generated_pages_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/docs", "--check"])
    runpy.run_path(str(ROOT / "scripts" / "docs"), run_name="__main__")


def test_a_page_that_says_something_else_is_stale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "docs").mkdir()
    script = tmp_path / "scripts" / "docs"
    script.write_bytes((ROOT / "scripts" / "docs").read_bytes())
    monkeypatch.setattr(sys, "argv", ["scripts/docs"])
    runpy.run_path(str(script), run_name="__main__")
    page = tmp_path / "docs" / "commands.md"
    page.write_text(page.read_text().replace("## gitreceive apps destroy", "## gitreceive apps"))
    monkeypatch.setattr(sys, "argv", ["scripts/docs", "--check"])
    with pytest.raises(SystemExit, match=r"stale: commands\.md"):
        runpy.run_path(str(script), run_name="__main__")
