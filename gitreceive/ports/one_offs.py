"""Processes that somebody runs by hand, and ways into those that run."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from gitreceive.cancellation import Cancellation
from gitreceive.model import AppName, OneOff, OneOffStatus, Release, Terminal
from gitreceive.ports.logs import Log

STDOUT, STDERR = 1, 2
Output = tuple[int, bytes]  # STDOUT or STDERR, and some bytes; with a terminal all is STDOUT


class Attachment(Protocol):
    """Hands on a process. One thread may read ``output`` while another one does all else."""

    def output(self) -> Iterator[Output]:
        """What it writes, from the first byte, until it ends. Raises UnavailableError where the connection breaks."""

    def write(self, chunk: bytes) -> None:
        """To its standard input; waits while it does not read. Raises OSError where it has ended."""

    def end_input(self) -> None:
        """It has all of its input: it sees the end. With a terminal this does nothing."""

    def resize(self, columns: int, rows: int) -> None:
        """Of its terminal; nothing without one."""

    def interrupt(self) -> None:
        """SIGINT, for a process without a terminal; with one, Ctrl-C is input as any other."""

    def exit_code(self) -> int:
        """Once ``output`` has ended; 128 and its number for a signal. Raises RolloutError where it did not end by itself."""


class Pipe(Protocol):
    """A TCP connection to a port of a process. One thread may read while another one writes."""

    def read(self) -> bytes:
        """Some bytes; none once the other side has closed."""

    def write(self, chunk: bytes) -> None:
        """Raises OSError where nobody listens any more."""

    def end(self) -> None:
        """Nothing more is written."""


class OneOffs(Protocol):
    """Raise RolloutError with the target's own words, UnavailableError where it does not answer."""

    def attach(
        self, release: Release, asked: OneOff, log: Log, cancel: Cancellation
    ) -> AbstractContextManager[Attachment]:
        """Run a process with the release's image and config. It is gone when the context is left, however it is left."""

    def detach(self, release: Release, asked: OneOff, log: Log, cancel: Cancellation) -> None:
        """Start the same, without input, and leave it to itself."""

    def one_offs(self, app: AppName) -> tuple[OneOffStatus, ...]:
        """Those that run and those that are kept, oldest first."""

    def remove_one_off(self, app: AppName, name: str) -> bool:
        """End it, where it runs, and remove it; False where there is none."""

    def end_one_off(self, app: AppName, name: str) -> None:
        """Its time is up: end it, where it runs, and keep it for its log."""

    def enter(
        self, app: AppName, instance: str, command: tuple[str, ...], terminal: Terminal | None, *, kept: bool
    ) -> AbstractContextManager[Attachment]:
        """Run a command inside an instance that runs. It ends with the context. Raises NotFoundError where there is no such instance.

        ``kept`` as for OneOff; without it, the command may outlive the context, and see no end of its input.
        """

    def connect(self, app: AppName, instance: str, port: int) -> AbstractContextManager[Pipe]:
        """To a TCP port of an instance. Raises NotFoundError, and RolloutError where nothing listens there."""
