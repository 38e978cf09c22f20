"""What waits for a receiver is whole, in order and bounded, and outlives whoever wrote it."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitreceive.drains.spool import Mark, Spool
from gitreceive.errors import UnavailableError


def lines(*numbers: int, filler: str = "") -> list[bytes]:
    return [json.dumps({"text": str(number), "filler": filler}).encode() + b"\n" for number in numbers]


def taken(spool: Spool, after: Mark | None = None) -> list[int]:
    """All that waits, without delivering it."""
    cursor, found = after or spool.delivered, []
    while (batch := spool.read(cursor)).entries:
        found += [int(entry["text"]) for entry in batch.entries]
        cursor = batch.ends[-1]
    return found


def test_what_is_not_delivered_is_there_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.append(lines(*range(10)))
    batch = spool.read(spool.delivered)
    spool.commit(batch.ends[3])
    assert (spool.waiting, taken(spool)) == (6, list(range(4, 10)))
    spool.close()
    again = Spool(tmp_path, 1 << 20)
    assert (again.waiting, taken(again)) == (6, list(range(4, 10)))
    again.append(lines(10))
    assert taken(again) == list(range(4, 11))


def test_files_that_are_delivered_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 << 10)
    spool.append(lines(*range(300), filler="x" * 100))
    assert len(list(tmp_path.glob("*.lines"))) > 5
    while (batch := spool.read(spool.delivered)).entries:
        spool.commit(batch.ends[-1])
    assert (spool.waiting, spool.dropped) == (0, 0)
    assert len(list(tmp_path.glob("*.lines"))) == 1


def test_past_its_bound_the_oldest_goes_and_is_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 << 10)
    number = 2000
    spool.append(lines(*range(number), filler="x" * 100))
    left = taken(spool)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.lines")) <= 64 << 10
    assert left == list(range(number - len(left), number))
    assert spool.dropped == number - len(left) > 0
    spool.close()
    again = Spool(tmp_path, 64 << 10)
    assert (again.dropped, again.waiting) == (number - len(left), len(left))


def test_what_was_lost_is_told_once_and_again_if_it_could_not_be_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 << 10)
    spool.append(lines(*range(2000), filler="x" * 100))
    lost = spool.read(spool.delivered).lost
    assert lost == spool.dropped
    assert spool.read(spool.delivered).lost == 0
    spool.give_back(lost)
    assert spool.read(spool.delivered).lost == lost


def test_a_reader_that_fell_behind_what_was_dropped_goes_on_with_what_is_left(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 << 10)
    spool.append(lines(*range(10), filler="x" * 100))
    ends = spool.read(spool.delivered).ends
    spool.append(lines(*range(10, 2000), filler="x" * 100))
    spool.commit(ends[5])
    left = taken(spool, ends[5])
    assert left[-1] == 1999
    assert left == list(range(left[0], 2000))
    assert spool.waiting == len(left)


def test_half_a_line_of_a_server_that_was_killed_is_taken_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.append(lines(1))
    spool.close()
    file = next(tmp_path.glob("*.lines"))
    file.write_bytes(file.read_bytes() + b'{"text": "2", "fil')
    again = Spool(tmp_path, 1 << 20)
    again.append(lines(3))
    assert taken(again) == [1, 3]


def test_a_line_longer_than_a_message_gets_through(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64 << 20)
    spool.append(lines(1, filler="x" * (2 << 20)))
    spool.append(lines(2))
    assert taken(spool) == [1, 2]


def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError):
        Spool(tmp_path / "file", 1 << 20)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 40), st.booleans()), max_size=20))
def test_whatever_is_appended_delivered_and_restarted_comes_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool, number, delivered = Spool(folder, 1 << 20), 0, []
    for appended, wanted, restart in steps:
        spool.append(lines(*range(number, number + appended), filler="x" * 300))
        number += appended
        batch = spool.read(spool.delivered)
        some = min(wanted, len(batch.entries))
        if some:
            delivered += [int(entry["text"]) for entry in batch.entries[:some]]
            spool.commit(batch.ends[some - 1])
        if restart:
            spool.close()
            spool = Spool(folder, 1 << 20)
        assert spool.waiting == number - len(delivered)
    assert delivered + taken(spool) == list(range(number))
    spool.close()
