"""Work that the server does by itself, again and again."""

import logging
import threading
from collections.abc import Callable

from gitreceive.errors import GitreceiveError

_logger = logging.getLogger(__name__)


class Chore:
    """``work`` is done every so many seconds, first after ``first``, from ``start`` to ``stop``, in a thread of its own.

    What fails is in the server's log, once until it works again, and is tried again the next time.
    """

    def __init__(
        self, name: str, work: Callable[[], object], *, every: float, first: float | None = None
    ) -> None:
        self._name = name
        self._work = work
        self._pause = every if first is None else first
        self._every = every
        self._stopping = threading.Event()
        self._said = ""

    def start(self) -> None:
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """What is under way is left to the process's end: it must be made to be broken off anywhere."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause):
            self._pause = self._every
            try:
                self._work()
                self._said = ""
            except GitreceiveError as error:
                self._tell(str(error))
            except Exception:
                _logger.exception("%s failed", self._name)

    def _tell(self, said: str) -> None:
        if said != self._said:
            _logger.error("%s failed: %s", self._name, said)
        self._said = said
