"""A ledger that is copied while others write, and apps that come from another."""

import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitreceive.errors import ConflictError, UnavailableError, UsageError
from gitreceive.model import App, AppName, AppSettings, JobState, Push, Release, Secret
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BOB, COMMIT, IMAGE, SHOP, go_live, opened, push

NEW = App(AppName("new"), BOB, "prod", datetime(2025, 1, 2, tzinfo=UTC), ("x/a",))


def release(number: int, *, kept: bool = True) -> Release:
    config = {"A": Secret(f"of {number}")} if kept else {}
    created = datetime(2025, 1, number, tzinfo=UTC)
    return Release(NEW.name, number, IMAGE, COMMIT, config, ANN, f"Deploy {number}", created, kept=kept)


def test_an_app_is_taken_over_with_its_releases_and_goes_on_from_there(ledger: Ledger) -> None:
    releases = (release(3, kept=False), release(7))
    assert ledger.take_over(NEW, {}, AppSettings(), releases) == NEW
    assert ledger.app(NEW.name) == NEW
    assert ledger.releases(NEW.name) == releases[::-1]
    assert ledger.current_release(NEW.name) == releases[1]
    jobs = ledger.jobs(NEW.name)
    assert [(job.release, job.state, job.image, job.reason) for job in jobs] == [
        (7, JobState.LIVE, IMAGE, "imported"),
        (3, JobState.LIVE, None, "imported"),
    ]
    assert all(isinstance(job.cause, Push) and job.cause.new == COMMIT for job in jobs)
    assert ledger.unended() == ()
    assert go_live(ledger, NEW.name).release == 8
    assert ledger.config(NEW.name) == {"A": Secret("of 7")}


def test_an_app_without_a_release_is_taken_over_with_the_config_that_waits(ledger: Ledger) -> None:
    ledger.take_over(NEW, {"A": Secret("1")}, AppSettings(), ())
    assert ledger.config(NEW.name) == {"A": Secret("1")}
    with pytest.raises(ConflictError, match="an app new already"):
        ledger.take_over(replace(NEW, owner=ANN), {}, AppSettings(), ())
    assert ledger.app(NEW.name).owner == BOB


def test_a_copy_is_whole_and_private_while_others_write(sqlite_url: str, tmp_path: Path) -> None:
    ledger = opened(sqlite_url)
    ledger.create_app(SHOP, ANN, "main")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            go_live(ledger, config={"A": Secret("x" * 500)})

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3):
            ledger.backup(tmp_path / f"copy-{number}.db")
    finally:
        stop.set()
        thread.join()
    for number in range(3):
        path = tmp_path / f"copy-{number}.db"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        copy = opened(f"sqlite:///{path}")
        numbers = [one.number for one in copy.releases(SHOP, 10_000)]
        assert numbers == list(range(len(numbers), 0, -1))
        assert all(check.ok for check in copy.check())
        copy.close()
    ledger.close()


def test_a_copy_overwrites_nothing_and_leaves_nothing_half(sqlite_url: str, tmp_path: Path) -> None:
    ledger = opened(sqlite_url)
    ledger.create_app(SHOP, ANN, "main")
    ledger.enqueue(push())
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UsageError, match="is there already"):
        ledger.backup(tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "precious"
    with pytest.raises(UnavailableError, match="cannot be written"):
        ledger.backup(tmp_path / "no" / "folder")
    ledger.close()


def test_what_is_no_file_is_not_copied(postgresql_url: str, tmp_path: Path) -> None:
    ledger = opened(postgresql_url)
    with pytest.raises(UsageError, match="no file") as refused:
        ledger.backup(tmp_path / "copy")
    ledger.close()
    assert "pg_dump" in refused.value.hint
