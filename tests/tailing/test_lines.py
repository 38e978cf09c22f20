from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from gitreceive.model import LogQuery
from gitreceive.tailing import read
from gitreceive.tailing.lines import LONGEST, stamped
from tests.tailing.fake_runs import EPOCH, FakeRuns, stamp


def texts(*chunks: bytes) -> list[bytes]:
    return [text for _, text in stamped(chunks)]


def test_times_are_read_to_the_nanosecond_in_any_zone() -> None:
    lines = [
        b"2026-01-01T00:00:00.000000001Z a\n2026-01-01T02:00:00.5+02:00 b\n",
        b"2026-01-01T00:00:01Z c\n",
    ]
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 10**9
    assert list(stamped(lines)) == [(start + 1, b"a"), (start + 5 * 10**8, b"b"), (start + 10**9, b"c")]


def test_pieces_are_put_together_and_ends_of_lines_go() -> None:
    line = stamp(EPOCH) + b"hello\r\n"
    assert texts(*(bytes([byte]) for byte in line), stamp(EPOCH) + b"no end") == [b"hello", b"no end"]


def test_a_blank_line_is_a_line() -> None:
    assert texts(stamp(EPOCH) + b"\n", stamp(EPOCH).rstrip() + b"\n") == [b"", b""]


def test_the_readers_own_words_are_left_out() -> None:
    assert texts(b"failed to watch the file\n", stamp(EPOCH) + b"mine\n") == [b"mine"]


def test_a_line_that_was_written_in_pieces_has_no_times_within() -> None:
    parts = [b"a" * 16384, b"b" * 16384, b"c" * 7]
    assert texts(b"".join(stamp(EPOCH) + part for part in parts) + b"\n") == [b"".join(parts)]


@pytest.mark.parametrize("size", [1000, LONGEST])
def test_an_endless_line_comes_in_the_same_pieces_however_it_is_sent(size: int) -> None:
    whole = stamp(EPOCH) + b"x" * (2 * LONGEST) + b"\n" + stamp(EPOCH + 1) + b"next\n"

    def cut() -> Iterable[bytes]:
        return (whole[start : start + size] for start in range(0, len(whole), size))

    found = list(stamped(cut()))
    assert b"".join(text for _, text in found[:-1]) == b"x" * (2 * LONGEST)
    assert max(len(text) for _, text in found) <= LONGEST
    assert found[-1] == (EPOCH + 1, b"next")
    assert found == list(stamped([whole]))


def test_history_is_bounded_filtered_and_by_time() -> None:
    runs = FakeRuns()
    for log in "ab":
        runs.add(log)
    for second in range(10):
        runs.say("ab"[second % 2], str(second), at=second * 10**9)

    def moment(second: int) -> datetime:
        return datetime.fromtimestamp(EPOCH // 10**9 + second, UTC)

    def shown(query: LogQuery) -> list[str]:
        return [line.text for line in read(runs, query)]

    assert shown(LogQuery(lines=3)) == ["7", "8", "9"]
    assert shown(LogQuery(since=moment(7))) == ["7", "8", "9"]
    assert shown(LogQuery(until=moment(2))) == ["0", "1", "2"]
    assert shown(LogQuery(lines=2, since=moment(3), until=moment(6))) == ["5", "6"]
    assert shown(LogQuery(lines=0)) == []
    assert shown(LogQuery(lines=None)) == [str(n) for n in range(10)]


def test_a_log_that_vanished_between_two_looks_is_left_out() -> None:
    runs = FakeRuns()
    runs.add("a")
    runs.say("a", "one")
    listed = runs.there()
    runs.remove("a")
    runs.there = lambda: listed  # type: ignore[method-assign]
    assert read(runs, LogQuery()) == []
