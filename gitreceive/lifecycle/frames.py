"""The channel between the server and a build container: messages and byte streams, in frames.

A frame is one byte of kind, four bytes of length (big endian) and the payload. A message is one frame of JSON; a stream is
any number of chunk frames and an end frame.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

CHUNK_LIMIT = 1 << 20
MESSAGE_LIMIT = 64 << 20

_HEADER = struct.Struct(">cI")
_MESSAGE, _CHUNK, _END = b"M", b"C", b"E"


class ChannelError(Exception):
    """What came is not the frame that is due."""


class ChannelEndedError(ChannelError):
    """The channel ended where something was due."""


def write_message(write: Callable[[bytes], object], message: dict[str, Any]) -> None:
    payload = json.dumps(message, separators=(",", ":")).encode()
    write(_HEADER.pack(_MESSAGE, len(payload)) + payload)


def write_stream(write: Callable[[bytes], object], chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        for start in range(0, len(chunk), CHUNK_LIMIT):
            part = chunk[start : start + CHUNK_LIMIT]
            write(_HEADER.pack(_CHUNK, len(part)) + part)
    write(_HEADER.pack(_END, 0))


def read_message(read: Callable[[int], bytes]) -> dict[str, Any]:
    """The next message. ``read(n)`` gives at most n bytes, none at the end. Raises ChannelError."""
    kind, size = _read_header(read)
    if kind != _MESSAGE or size > MESSAGE_LIMIT:
        raise ChannelError(f"a message was due, a frame {kind!r} of {size} bytes came")
    try:
        message = json.loads(_read_exactly(read, size))
    except ValueError as error:
        raise ChannelError(f"a message is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ChannelError("a message is not an object")
    return message


def read_stream(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The chunks of the stream that is due, until its end. Raises ChannelError."""
    while True:
        kind, size = _read_header(read)
        if kind == _END:
            return
        if kind != _CHUNK or size > CHUNK_LIMIT:
            raise ChannelError(f"a chunk was due, a frame {kind!r} of {size} bytes came")
        yield _read_exactly(read, size)


class StreamFile:
    """A stream as a file that is read once, from front to back, as ``tarfile`` wants it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end; all that is left where it is negative."""
        parts: list[bytes | memoryview] = []
        missing = size
        while missing != 0:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    break
            part = self._rest if missing < 0 else self._rest[:missing]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            missing -= len(part) if missing > 0 else 0
        return b"".join(parts)


def _read_header(read: Callable[[int], bytes]) -> tuple[bytes, int]:
    kind, size = _HEADER.unpack(_read_exactly(read, _HEADER.size))
    return kind, size


def _read_exactly(read: Callable[[int], bytes], size: int) -> bytes:
    first = read(size)
    if len(first) == size:
        return first
    parts = [first]
    missing = size - len(first)
    while missing:
        part = read(missing)
        if not part:
            raise ChannelEndedError(f"the channel ended {missing} bytes before the end of a frame")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
