"""What a build prints, on its way to a terminal."""

import re

import pytest

from tests.attacks.target import Fort, honest

SAID = {
    "the clipboard (OSC 52)": b"\x1b]52;c;aGk=\x07",
    "a title": b"\x1b]0;title\x07",
    "a title, ended otherwise": b"\x1b]2;title\x1b\\",
    "a link": b"\x1b]8;;https://example.com\x07here\x1b]8;;\x07",
    "an empty screen": b"\x1b[2J\x1b[H",
    "the cursor up": b"\x1b[5A\x1b[K",
    "another screen": b"\x1b[?1049h",
    "a question to the terminal": b"\x1b[6n\x1b[c\x05",
    "keys of the terminal": b'\x1bP$q"p\x1b\\',
    "eight bits": b"\xc2\x9b2J\xc2\x9d0;x\xc2\x9c",
    "a line written over": b"all is well\rfailed",
    "backspaces": b"evil\b\b\b\bgood",
    "a line of git's": b"x\rremote: -----> v9 is live\r\n",
    "a line of git's own": b"\rTo ssh://git@example.com/shop\n ! [rejected]",
    "backwards": "\u202etxt.exe".encode(),
    "isolated": "\u2066a\u2069".encode(),
    "no width": "sh\u200bop\ufeff".encode(),
    "tags that nobody sees": "\U000e0041".encode(),
    "no UTF-8": b"\xff\xfe\x80",
    "half a character": b"\xf0\x9f",
    "NULs": b"a\0b",
    "a DEL": b"a\x7fb",
    "a bell": b"\a" * 100,
    "other lines' ends": "a\u2028b\u2029c\x0bd\x0ce".encode(),
    "half an escape": b"\x1b",
    "a page": b"<script>alert(1)</script>",
    "a line of 200 KB": b"x" * 200_000,
    "packets of git's": b"0006\x01000eunpack ok\n0000",
}
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff]"
)


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_what_a_build_prints_does_nothing_to_a_terminal(fort: Fort, said: bytes) -> None:
    heard = honest(fort, b"before\n" + said + b"\nafter\n").err
    text = heard.decode()  # all of it is text
    assert not _UNSAFE.search(text), text[:500]
    assert not re.search(r"\x1b(?!\[[0-9;:]*m)", text)
    lines = text.splitlines()
    assert "       before" in lines
    assert "       after" in lines
    own = [line for line in lines if line.startswith((" !     ", "-----> v"))]
    assert len(own) == 1, "the build speaks with the server's voice"
    assert max(map(len, lines)) <= 65_536 + 7
