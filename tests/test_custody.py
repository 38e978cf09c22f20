import time
from pathlib import Path

import pytest

from gitreceive.background import custody
from gitreceive.errors import UnavailableError
from gitreceive.model import AppName, OneOff, UserName
from tests.fakes import FakeTarget

SHOP = AppName("shop")
ASKED = OneOff("run-abc123", ("true",), "true", UserName("ada"), 60, kept=True)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "one-offs").iterdir())


def test_what_somebody_is_attached_to_is_left_alone(tmp_path: Path) -> None:
    target = FakeTarget()
    with custody.held(tmp_path, SHOP, ASKED.name):
        custody.sweep(tmp_path, target, time.time() + 1e6)
        assert files(tmp_path) == [ASKED.name]
    assert target.calls == []
    assert files(tmp_path) == []


def test_what_nobody_holds_any_more_is_removed_and_for_a_while_again(tmp_path: Path) -> None:
    target = FakeTarget()
    with pytest.raises(RuntimeError, match="killed"), custody.held(tmp_path, SHOP, ASKED.name):
        raise RuntimeError("killed")
    custody.sweep(tmp_path, target, time.time())
    custody.sweep(tmp_path, target, time.time())
    assert target.calls == [f"remove {ASKED.name}"] * 2
    custody.sweep(tmp_path, target, time.time() + 120)
    assert files(tmp_path) == []


def test_what_was_left_to_itself_ends_in_time_and_its_log_goes_a_day_later(tmp_path: Path) -> None:
    target, now = FakeTarget(), time.time()
    custody.entrust(tmp_path, SHOP, ASKED)
    custody.sweep(tmp_path, target, now)
    assert target.calls == []
    custody.sweep(tmp_path, target, now + 70)
    custody.sweep(tmp_path, target, now + 80)
    assert target.calls == [f"end {ASKED.name}"]
    custody.sweep(tmp_path, target, now + custody.KEPT_SECONDS + 70)
    assert target.calls == [f"end {ASKED.name}", f"remove {ASKED.name}"]
    assert files(tmp_path) == []


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_seen_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = FakeTarget()
    custody.entrust(tmp_path, SHOP, ASKED)
    (tmp_path / "one-offs" / "run-aaaaaa").write_text("{")
    custody.sweep(tmp_path, target, time.time() + 70)
    assert target.calls == [f"end {ASKED.name}"]
    assert "run-aaaaaa cannot be read" in caplog.text


def test_without_a_folder_there_is_nothing_to_do(tmp_path: Path) -> None:
    custody.sweep(tmp_path / "none", FakeTarget(), 0.0)


def test_a_data_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one-offs").write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        custody.entrust(tmp_path, SHOP, ASKED)
