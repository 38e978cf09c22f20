"""Work that is done again and again."""

import logging
import threading

import pytest

from gitreceive.background.chore import Chore
from gitreceive.errors import UnavailableError


def test_it_is_done_again_and_again_until_it_is_stopped() -> None:
    done = threading.Semaphore(0)
    chore = Chore("counting", done.release, every=0.001)
    chore.start()
    try:
        assert all(done.acquire(timeout=10) for _ in range(3))
    finally:
        chore.stop()


def test_a_fault_is_told_once_and_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    tried = threading.Semaphore(0)

    def fail() -> None:
        tried.release()
        raise UnavailableError("the ledger does not answer")

    chore = Chore("asking", fail, every=0.001)
    with caplog.at_level(logging.ERROR):
        chore.start()
        try:
            assert all(tried.acquire(timeout=10) for _ in range(5))
        finally:
            chore.stop()
    assert [record.getMessage() for record in caplog.records] == ["asking failed: the ledger does not answer"]


def test_its_first_time_may_be_later_than_the_others() -> None:
    done = threading.Event()
    chore = Chore("waiting", done.set, every=0.001, first=3600)
    chore.start()
    try:
        assert not done.wait(0.05)
    finally:
        chore.stop()
