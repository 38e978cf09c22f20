"""Output of programs that nobody here wrote, made safe to show in a terminal and plain to read."""

import codecs
import re

LINE_LIMIT = 64 << 10  # bytes of one line, without its end


class Sanitiser:
    r"""Bytes in, in any pieces; out the same safe UTF-8 whatever the pieces were.

    Colours (SGR) and tabs stay. Every other escape sequence and control is shown in caret notation (``^[``), bidirectional
    overrides, zero-width and other invisible characters as ``<U+202E>``; ``\r\n`` and a lone ``\r`` (progress bars) are
    ends of lines; invalid UTF-8 becomes U+FFFD; a line over ``LINE_LIMIT`` bytes is broken. Its own output passes unchanged.
    """

    def __init__(self) -> None:
        self._column = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = False  # for the rest of a character or of an escape sequence
        self._escape = ""
        self._after_return = False

    def feed(self, chunk: bytes) -> bytes:
        """What can be shown by now. Held back is only what the next byte may still change: part of a character or escape."""
        if not self._waiting and not self._after_return and not chunk.translate(None, _PLAIN):
            return self._broken(chunk)
        return self._clean(chunk, final=False)

    def finish(self) -> bytes:
        """What was held back."""
        return self._clean(b"", final=True)

    def _clean(self, chunk: bytes, *, final: bool) -> bytes:
        text = self._escape + self._decoder.decode(chunk, final)
        self._escape = ""
        if not final and (partial := _PARTIAL_ESCAPE.search(text)):
            self._escape = partial.group()
            text = text[: partial.start()]
        if self._after_return and text:
            rest = text.lstrip("\r")
            text = rest.removeprefix("\n")
            self._after_return = not rest
        if text:
            self._after_return = text.endswith("\r")
        held_back, _ = self._decoder.getstate()
        self._waiting = bool(held_back or self._escape)
        return self._broken(_UNSAFE.sub(_visible, text).encode())

    def _broken(self, out: bytes) -> bytes:
        if self._column + len(out) <= LINE_LIMIT:
            end = out.rfind(b"\n")
            self._column = self._column + len(out) if end < 0 else len(out) - end - 1
            return out
        pieces = []
        for line in out.splitlines(keepends=True):
            pieces += self._lines(line)
        return b"".join(pieces)

    def _lines(self, line: bytes) -> list[bytes]:
        pieces = []
        while self._column + len(line.removesuffix(b"\n")) > LINE_LIMIT:
            cut = _boundary(line, LINE_LIMIT - self._column)
            pieces += [line[:cut], b"\n"]
            line, self._column = line[cut:], 0
        self._column = 0 if line.endswith(b"\n") else self._column + len(line)
        return [*pieces, line]


def sanitise(output: bytes) -> bytes:
    """All of it at once."""
    sanitiser = Sanitiser()
    return sanitiser.feed(output) + sanitiser.finish()


def plain(text: str) -> str:
    """What somebody else has named, a file or a branch, within a line of ours: one line, in which colours are shown as well, and half a
    surrogate pair, which no encoding has, is a question mark.
    """
    return _CONTROLS.sub(_caret, text.encode("utf-8", "replace").decode())


_PLAIN = b"\t\n" + bytes(range(0x20, 0x7F))
_COLOUR_LENGTH = 64
_PARTIAL_ESCAPE = re.compile(rf"\x1b(?:\[[0-9;:]{{0,{_COLOUR_LENGTH}}})?\Z")

# what shows as nothing or turns the order of what is seen: a test compares it with Unicode's categories
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001345f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNSAFE = re.compile(
    rf"\x1b\[[0-9;:]{{0,{_COLOUR_LENGTH}}}m|\r+\n?|[\x00-\x08\x0b-\x1f\x7f-\x9f{_INVISIBLE}]"
)
_CONTROLS = re.compile(rf"[\x00-\x08\x0a-\x1f\x7f-\x9f{_INVISIBLE}]")


def _visible(match: re.Match[str]) -> str:
    found = match.group()
    if found[0] == "\r":
        return "\n"
    return found if len(found) > 1 else _caret(match)


def _caret(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"^{chr(code ^ 0x40)}" if code < 0x80 else f"<U+{code:04X}>"


def _boundary(line: bytes, cut: int) -> int:
    """The last place at or before ``cut`` that is within no character and no colour."""
    while line[cut] & 0xC0 == 0x80:
        cut -= 1
    escape = line.rfind(b"\x1b", max(0, cut - _COLOUR_LENGTH - 3), cut)
    if escape >= 0 and line.find(b"m", escape) >= cut:
        return escape
    return cut
