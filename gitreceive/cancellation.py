"""A request to stop, seen by whoever does the work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gitreceive.errors import CanceledError


class Cancellation:
    """Thread-safe. Once requested it stays requested; the first reason is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._stoppers: list[Callable[[], None]] = []
        self._reason = ""

    def request(self, reason: str) -> None:
        """Ask the work to stop, and call at once every stopper that is registered, each exactly once."""
        with self._lock:
            if self._event.is_set():
                return
            self._reason = reason
            self._event.set()
            stoppers, self._stoppers = self._stoppers, []
        for stop in stoppers:
            stop()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def raise_if_requested(self) -> None:
        """Raise CanceledError with the reason if somebody asked to stop."""
        if self._event.is_set():
            raise CanceledError(self._reason)

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until somebody asks to stop; then raise CanceledError."""
        self._event.wait(seconds)
        self.raise_if_requested()

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """While inside, a request calls ``stop`` (from the requesting thread), such as killing a container.

        Raises CanceledError on entry if the request has been made already.
        """
        with self._lock:
            if not self._event.is_set():
                self._stoppers.append(stop)
        self.raise_if_requested()
        try:
            yield
        finally:
            with self._lock:
                if stop in self._stoppers:
                    self._stoppers.remove(stop)
