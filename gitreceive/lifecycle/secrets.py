"""Finding secret values in what leaves a build: raw, base64 and URL-encoded."""

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable

MASK = b"***"
MIN_LENGTH = 8

_MACHINE = re.compile(rb"(?:^|\s)(?:machine\s+\S+|default)\s")
_NETRC = re.compile(rb"\spassword\s+(\S+)")
_IN_URL = re.compile(rb"://[^/\s:@]*:([^/\s@]+)@")


def patterns(values: Iterable[bytes]) -> tuple[bytes, ...]:
    """Every way of writing the values that is looked for, the longest first.

    Base64 is found at each of the three alignments that a value can have within an encoded text (``user:TOKEN``). Of a netrc
    file, and of a URL, the passwords are looked for on their own too.
    """
    found: set[bytes] = set()
    for value in (part for whole in values for part in (whole, *_passwords(whole))):
        if not value:
            continue
        found |= {value, urllib.parse.quote_from_bytes(value, safe="").encode()}
        found.add(urllib.parse.quote_plus(value).encode())
        found.add(json.dumps(value.decode(errors="replace"))[1:-1].encode())
        found |= _base64_forms(value)
    return tuple(sorted((p for p in found if len(p) >= MIN_LENGTH), key=len, reverse=True))


def _passwords(value: bytes) -> list[bytes]:
    of_netrc = _NETRC.findall(value) if _MACHINE.search(value) else []
    return [part for part in (*of_netrc, *_IN_URL.findall(value)) if len(part) >= MIN_LENGTH]


class Finder:
    """Looks for patterns in a stream, also across its chunks."""

    def __init__(self, wanted: tuple[bytes, ...]) -> None:
        self._patterns = wanted
        self._tail = b""
        self._seen = 0

    def feed(self, chunk: bytes) -> int | None:
        """The offset in the stream of a pattern that ends in this chunk; None where there is none."""
        if not self._patterns:
            return None
        window = self._tail + chunk
        start = self._seen - len(self._tail)
        self._seen += len(chunk)
        keep = len(self._patterns[0]) - 1
        self._tail = window[-keep:] if keep else b""
        hits = [at for at in (window.find(pattern) for pattern in self._patterns) if at >= 0]
        return start + min(hits) if hits else None


class Redactor:
    """Replaces patterns in a stream by ``***``. Holds back only what may be the beginning of one."""

    def __init__(self, wanted: tuple[bytes, ...]) -> None:
        self._patterns = wanted
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        if not self._patterns:
            return chunk
        window = self._held + chunk
        for pattern in self._patterns:
            window = window.replace(pattern, MASK)
        cut = len(window) - max(overlap(window, pattern) for pattern in self._patterns)
        self._held = window[cut:]
        return window[:cut]

    def end(self) -> bytes:
        """What was held back: it did not become a pattern."""
        held, self._held = self._held, b""
        return held


def overlap(window: bytes, pattern: bytes) -> int:
    """How many bytes at the end of the window are a beginning of the pattern, which is not whole in it."""
    start = max(0, len(window) - len(pattern) + 1)
    first = pattern[:1]
    while True:
        start = window.find(first, start)
        if start < 0:
            return 0
        if pattern.startswith(window[start:]):
            return len(window) - start
        start += 1


def _base64_forms(value: bytes) -> set[bytes]:
    forms: set[bytes] = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + value)
        # the characters at both ends also depend on the neighbours
        first = (0, 2, 3)[shift]
        last = (shift + len(value)) * 8 // 6
        core = encoded[first:last]
        forms |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return forms
