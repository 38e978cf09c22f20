"""A streamed answer of a cluster's API."""

import threading
from collections.abc import Iterator
from typing import Any

from gitreceive.errors import UnavailableError


class LineStream:
    """Lines of a streamed answer, without their ends. ``close`` may be called from another thread and ends it at once."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        """Raises as ``chunks`` does."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def chunks(self) -> Iterator[bytes]:
        """The answer as it comes. Raises UnavailableError where the connection breaks, but not once it is closed."""
        try:
            for chunk in self._raw.stream(amt=None, decode_content=False):
                if self._closed.is_set():
                    return  # once shut down, what comes is not decrypted any more
                yield chunk
        except Exception as error:
            if self._closed.is_set():
                return
            raise UnavailableError(f"the cluster's answer broke off: {type(error).__name__}") from error

    def interrupt(self) -> None:
        """Wake the reader; it closes then."""
        self._closed.set()
        try:
            self._raw.shutdown()
        except (ValueError, RuntimeError, OSError, AttributeError):
            return  # the answer has been read to its end already

    def close(self) -> None:
        self._closed.set()
        self._raw.close()
        self._raw.release_conn()
