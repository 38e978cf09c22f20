"""The contract of log books, on the fake and on files, and what only files can show."""

import itertools
import os
import stat
import sys
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitreceive.engines.file_logbook import FileLogBook
from gitreceive.errors import UnavailableError
from gitreceive.model import JobId
from gitreceive.ports import LogBook
from gitreceive.sanitise import LINE_LIMIT, Sanitiser, sanitise
from tests.fake_logbook import FakeLogBook

ONE, TWO = JobId(1), JobId(2)
MakeBook = Callable[[int], LogBook]


@pytest.fixture(params=["fake", "files"])
def make_book(request: pytest.FixtureRequest, tmp_path: Path) -> MakeBook:
    if request.param == "fake":
        return FakeLogBook
    return lambda limit: FileLogBook(tmp_path / "logs", limit)


@pytest.fixture
def book(make_book: MakeBook) -> LogBook:
    return make_book(1 << 20)


def whole(book: LogBook, job: JobId) -> bytes:
    return book.read(job, 0, book.size(job))


# --- the contract ---------------------------------------------------------------------------------------------------


def test_what_was_appended_is_read_at_once_even_half_a_line(book: LogBook) -> None:
    book.append(ONE, b"-----> Python\n       Downl")
    assert whole(book, ONE) == b"-----> Python\n       Downl"
    book.append(ONE, b"oading\n")
    assert whole(book, ONE) == b"-----> Python\n       Downloading\n"


def test_a_read_gives_at_most_the_limit_from_the_offset_and_nothing_past_the_end(book: LogBook) -> None:
    book.append(ONE, b"0123456789\n")
    assert book.read(ONE, 3, 4) == b"3456"
    assert book.read(ONE, 11) == b""
    assert book.read(ONE, 500) == b""


def test_a_log_that_nobody_wrote_is_empty(book: LogBook) -> None:
    assert (book.read(ONE, 0), book.size(ONE)) == (b"", 0)
    book.close(ONE)
    assert book.size(ONE) == 0


def test_logs_of_two_jobs_do_not_mix(book: LogBook) -> None:
    book.append(ONE, b"one \xe2")
    book.append(TWO, b"two\n")
    book.append(ONE, b"\x82\xac\n")
    assert whole(book, ONE) == "one €\n".encode()
    assert whole(book, TWO) == b"two\n"


def test_closing_writes_what_was_held_back_and_may_be_done_twice(book: LogBook) -> None:
    book.append(ONE, b"no end\x1b[3")
    assert whole(book, ONE) == b"no end"
    book.close(ONE)
    book.close(ONE)
    assert whole(book, ONE) == b"no end^[[3"


def test_a_deleted_log_is_gone_and_may_be_deleted_again(book: LogBook) -> None:
    book.append(ONE, b"line\n")
    book.delete(ONE)
    book.delete(ONE)
    assert (book.read(ONE, 0), book.size(ONE)) == (b"", 0)


def test_output_is_made_harmless_on_the_way_in(book: LogBook) -> None:
    book.append(ONE, b"\x1b[2J\x1b[31mred\x1b[0m\r\n\xff\n")
    assert whole(book, ONE) == b"^[[2J\x1b[31mred\x1b[0m\n\xef\xbf\xbd\n"


@pytest.mark.parametrize("chunk", [7, 1000, 65536, 1 << 22])
def test_a_log_past_its_limit_keeps_its_beginning_and_its_end(make_book: MakeBook, chunk: int) -> None:
    limit = 20_000
    book = make_book(limit)
    lines = [b"line %05d\n" % number for number in range(10_000)]
    output = b"".join(lines)
    grown = b""
    for start in range(0, len(output), chunk):
        book.append(ONE, output[start : start + chunk])
        if start % (chunk * 64) == 0:
            now = whole(book, ONE)
            assert now.startswith(grown)
            grown = now
    before_closing = whole(book, ONE)
    book.close(ONE)
    log = whole(book, ONE)
    assert log.startswith(before_closing)
    assert len(log) <= limit
    seen = log.splitlines(keepends=True)
    notes = [line for line in seen if line.startswith(b" !     [")]
    assert len(notes) == 2
    kept = [line for line in seen if line not in notes and line != b"\n"]
    first, second = (seen.index(note) for note in notes)
    assert second == first + 1 or chunk == 7  # a line that was half written is ended there
    assert kept[0] == lines[0]
    assert kept[-400:] == lines[-400:]
    assert len(kept) > 1500


def test_a_log_just_past_its_beginning_loses_nothing(make_book: MakeBook) -> None:
    book = make_book(20_000)
    output = b"".join(b"line %05d\n" % number for number in range(1600))
    book.append(ONE, output)
    book.close(ONE)
    log = whole(book, ONE).splitlines(keepends=True)
    assert b"".join(line for line in log if not line.startswith(b" !     [")) == output
    assert not any(b"left out" in line for line in log)


def test_threads_append_and_read_without_a_missing_or_doubled_byte(book: LogBook) -> None:
    lines = [b"%d\n" % number for number in range(2000)]
    seen = b""
    done = threading.Event()

    def follow() -> None:
        nonlocal seen
        while not done.is_set() or len(seen) < book.size(ONE):
            seen += book.read(ONE, len(seen), 100)

    follower = threading.Thread(target=follow)
    follower.start()
    for line in lines:
        book.append(ONE, line)
    done.set()
    follower.join(60)
    assert seen == b"".join(lines)


# --- files ----------------------------------------------------------------------------------------------------------


def test_the_next_server_goes_on_at_the_end_on_a_line_of_its_own(tmp_path: Path) -> None:
    FileLogBook(tmp_path, 1 << 20).append(ONE, b"first\nhalf a li")
    book = FileLogBook(tmp_path, 1 << 20)
    assert whole(book, ONE) == b"first\nhalf a li"
    book.append(ONE, b"-----> resumed\n")
    book.close(ONE)
    assert whole(book, ONE) == b"first\nhalf a li\n-----> resumed\n"


def test_the_next_server_closes_a_log_that_was_past_its_limit(tmp_path: Path) -> None:
    killed = FileLogBook(tmp_path, 20_000)
    killed.append(ONE, b"".join(b"line %05d\n" % number for number in range(4000)))
    before = whole(killed, ONE)
    book = FileLogBook(tmp_path, 20_000)
    book.append(ONE, b"the last line\n")
    book.close(ONE)
    log = whole(book, ONE)
    assert log.startswith(before)
    assert log.endswith(b"line 03999\nthe last line\n")
    assert log.count(b"log limit") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"1.log", "1.times"}


def test_a_server_killed_while_closing_leaves_no_byte_doubled(tmp_path: Path) -> None:
    book = FileLogBook(tmp_path, 20_000)
    book.append(ONE, b"".join(b"line %05d\n" % number for number in range(4000)))
    half_way = tmp_path / "half-way"
    head = book.size(ONE)
    tail = book._writer(ONE)._tail
    assert tail
    tail.home = head
    os.link(tmp_path / "1.tail", half_way)
    book.close(ONE)
    closed = whole(book, ONE)
    half_way.rename(tmp_path / "1.tail")  # the log is written, and the side file still there
    again = FileLogBook(tmp_path, 20_000)
    again.close(ONE)
    assert whole(again, ONE) == closed


def test_a_log_is_for_its_owner_only(tmp_path: Path) -> None:
    book = FileLogBook(tmp_path / "logs", 1 << 20)
    book.append(ONE, b"line\n")
    assert stat.S_IMODE((tmp_path / "logs" / "1.log").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


def test_a_full_disk_is_told_with_its_fix(tmp_path: Path) -> None:
    (tmp_path / "1.log").symlink_to("/dev/full")
    book = FileLogBook(tmp_path, 1 << 20)
    with pytest.raises(UnavailableError, match="No space left") as caught:
        book.append(ONE, b"line\n")
    assert "room" in caught.value.hint


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="file/logs"):
        FileLogBook(tmp_path / "file" / "logs", 1 << 20)


# --- sanitising -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b"plain\ttext\n", "plain\ttext\n"),
        (b"\x1b[1;38;5;208mcolour\x1b[m", "\x1b[1;38;5;208mcolour\x1b[m"),
        (b"\x1b[38:2::1:2:3mcolour", "\x1b[38:2::1:2:3mcolour"),
        (b"\x1b[2K\x1b[1A\x1b[?25l", "^[[2K^[[1A^[[?25l"),
        (b"\x1b]0;title\x07\x1b]8;;http://x\x1b\\", "^[]0;title^G^[]8;;http://x^[\\"),
        (b"\x1b[" + b"1;" * 40 + b"m", "^[[" + "1;" * 40 + "m"),
        (b"\xc2\x9b31m", "<U+009B>31m"),
        (b"\x00\x08\x7f", "^@^H^?"),
        (b"one\r\ntwo\rthree\r\r\nfour\r", "one\ntwo\nthree\nfour\n"),
        ("café ☕ 漢字".encode(), "café ☕ 漢字"),
        (b"\xff\xc0\xaf \xe2\x82 \xed\xa0\x80", "\ufffd\ufffd\ufffd \ufffd \ufffd\ufffd\ufffd"),
        ("user\u202eexe.nimda".encode(), "user<U+202E>exe.nimda"),
        ("in\u200bvisible\ufeff\U000e0041".encode(), "in<U+200B>visible<U+FEFF><U+E0041>"),
        ("a\u2028b\u0085c".encode(), "a<U+2028>b<U+0085>c"),
    ],
)
def test_what_could_fool_a_reader_is_made_visible(output: bytes, shown: str) -> None:
    assert sanitise(output).decode() == shown


def test_every_control_and_format_character_of_unicode_is_made_visible() -> None:
    # these few mark Arabic, Syriac and Kaithi numbers, and can be seen
    seen = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    passed = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp"}
        and code not in {*b"\t\n\r", *seen}
        and sanitise(chr(code).encode()) == chr(code).encode()
    ]
    assert passed == []


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            [
                b"\r",
                b"\n",
                b"\r\n",
                b"\x1b",
                b"\x1b[",
                b"\x1b[31m",
                b"\x1b[2J",
                b"31m",
                "€".encode(),
                "\u202e".encode(),
                b"\xe2\x82",
                b"\xf0\x9f",
                b"x" * (LINE_LIMIT - 2),
                "€".encode() * 30_000,
                b"\x1b[31m" * 20_000,
            ]
        ),
        st.text(max_size=8).map(str.encode),
    ),
    max_size=12,
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(output=PIECES, cuts=st.lists(st.integers(0, 200_000), max_size=12))
def test_any_split_of_the_output_gives_the_same_log(output: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    sanitiser = Sanitiser()
    pieces = [sanitiser.feed(output[start:end]) for start, end in itertools.pairwise(places)]
    assert b"".join(pieces) + sanitiser.finish() == sanitise(output)


@settings(deadline=None)
@given(output=st.binary(max_size=64) | PIECES.filter(lambda output: len(output) < 200))
def test_byte_by_byte_gives_the_same_log(output: bytes) -> None:
    sanitiser = Sanitiser()
    pieces = [sanitiser.feed(bytes([byte])) for byte in output]
    assert b"".join(pieces) + sanitiser.finish() == sanitise(output)


@settings(deadline=None)
@given(output=PIECES)
def test_a_log_is_valid_utf8_of_bounded_lines_and_passes_again_unchanged(output: bytes) -> None:
    log = sanitise(output)
    log.decode()
    assert max(map(len, log.split(b"\n"))) <= LINE_LIMIT
    assert sanitise(log) == log
