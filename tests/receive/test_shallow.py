import time
from pathlib import Path

import pytest

from gitreceive.errors import UsageError
from gitreceive.receive.shallow import CommandSection

COMMIT = b"a" * 40
UPDATE = b"0" * 40 + b" " + COMMIT + b" refs/heads/main\0report-status"


def _packet(content: bytes) -> bytes:
    return b"%04x" % (len(content) + 4) + content


def test_shallow_lines_go_to_the_sessions_file_and_all_else_to_git(tmp_path: Path) -> None:
    sent = _packet(b"shallow " + COMMIT) + _packet(UPDATE) + b"0000" + b"PACK\0\0\0\2shallow"
    section = CommandSection(tmp_path, tmp_path / "session")
    passed = b"".join(section.feed(sent[i : i + 7]) for i in range(0, len(sent), 7))
    assert passed == _packet(UPDATE) + b"0000" + b"PACK\0\0\0\2shallow"
    assert (tmp_path / "session").read_bytes() == COMMIT + b"\n"


def test_nothing_is_passed_on_before_the_shallow_file_is_there(tmp_path: Path) -> None:
    section = CommandSection(tmp_path, tmp_path / "session")
    assert section.feed(_packet(b"shallow " + COMMIT) + _packet(UPDATE)) == b""
    assert section.feed(b"0000") == _packet(UPDATE) + b"0000"


def test_a_whole_history_needs_no_file(tmp_path: Path) -> None:
    CommandSection(tmp_path, tmp_path / "session").feed(_packet(UPDATE) + b"0000")
    assert not (tmp_path / "session").exists()


def test_what_the_repository_knows_to_be_shallow_stays_so(tmp_path: Path) -> None:
    (tmp_path / "shallow").write_bytes(b"b" * 40 + b"\n")
    CommandSection(tmp_path, tmp_path / "session").feed(_packet(b"shallow " + COMMIT) + b"0000")
    assert (tmp_path / "session").read_bytes().split() == [COMMIT, b"b" * 40]


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n", b"0001", b"-001", b"+01f", b"0x1f", b" 1ff", b"0_1f", b"0003abc"]
)
def test_what_is_no_pkt_line_is_refused(tmp_path: Path, sent: bytes) -> None:
    with pytest.raises(UsageError):
        CommandSection(tmp_path, tmp_path / "session").feed(sent)


def test_an_endless_list_of_refs_is_refused(tmp_path: Path) -> None:
    section = CommandSection(tmp_path, tmp_path / "session")
    with pytest.raises(UsageError, match="too many refs"):
        section.feed(_packet(b"x" * 65_000) * 200)


def test_a_list_of_refs_costs_as_much_as_it_is_long_however_it_is_cut(tmp_path: Path) -> None:
    """What is kept is not looked through for each piece: who sends many small ones would hold up everybody."""
    line = _packet(UPDATE)
    section = CommandSection(tmp_path, tmp_path / "session")
    began = time.thread_time()
    for _ in range(40_000):
        assert section.feed(line[:50]) + section.feed(line[50:]) == b""
    assert time.thread_time() - began < 5  # a fiftieth of it is needed
