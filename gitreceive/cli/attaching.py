"""The terminal of this process, or its three pipes, joined to a process that runs elsewhere."""

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from gitreceive import config
from gitreceive.errors import GitreceiveError
from gitreceive.model import Terminal
from gitreceive.ports import Attachment

_CHUNK = 32768
_GONE = 129  # as a shell says of SIGHUP


class LeftError(Exception):
    """Nobody is there any more to see what is written, or it was asked to end."""


def terminal_here(*, wanted: bool) -> Terminal | None:
    """That of standard input and output, where both are one and it is wanted."""
    if not wanted or not os.isatty(0) or not os.isatty(1):
        return None
    size = os.get_terminal_size(1)
    return Terminal.of(config.process_environment().get("TERM", ""), size.columns, size.lines)


def take_terminal() -> None:
    """Make the terminal on standard input the one whose Ctrl-C and size reach this process: the SSH door starts it with none."""
    if os.getsid(0) == os.getpid() and os.isatty(0):
        import fcntl

        with suppress(OSError):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP leave the context, so that what it began is taken back."""

    def leave(number: int, _frame: Any) -> None:
        raise LeftError(number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except LeftError:
        sys.exit(_GONE)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def carry(attachment: Attachment, terminal: Terminal | None) -> int:
    """Until the process ends; its exit code. Raises LeftError where nobody sees its output any more."""
    with _raw(terminal is not None), _Hands(attachment, terminal) as hands:
        for stream, chunk in attachment.output():
            hands.check()
            _print(stream, chunk)
        hands.check()
        return attachment.exit_code()


class _Hands:
    """A thread that passes on what is typed, the terminal's size, and Ctrl-C; and looks whether somebody is still there."""

    def __init__(self, attachment: Attachment, terminal: Terminal | None) -> None:
        self._attachment = attachment
        self._terminal = terminal
        self._done = False
        self._failure: BaseException | None = None
        self._woken, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._work, name="hands", daemon=True)

    def __enter__(self) -> Self:
        os.set_blocking(self._waker, False)
        noticed = [signal.SIGWINCH] if self._terminal else [signal.SIGINT]
        self._before = {number: signal.signal(number, self._notice) for number in noticed}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done = True
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._wake(b"x")

    def check(self) -> None:
        """Raise what the thread ran into."""
        if self._failure:
            raise self._failure

    def _notice(self, number: int, _frame: Any) -> None:
        self._wake(bytes([number]))

    def _wake(self, why: bytes) -> None:
        with suppress(BlockingIOError):
            os.write(self._waker, why)

    def _work(self) -> None:
        try:
            while not self._done:
                self._turn()
        except (OSError, GitreceiveError):
            return  # the process has ended: that is told by its output's end
        except LeftError as error:
            self._failure = error
            # to the thread that waits for output: it is woken
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)

    _listening = True

    def _turn(self) -> None:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._listening:
            poll.register(0, select.POLLIN)
        for descriptor in (1, 2):
            poll.register(descriptor, 0)  # that its reader has gone is told anyway
        for descriptor, event in poll.poll():
            if descriptor == self._woken:
                self._pass_signals_on(os.read(self._woken, 64))
            elif descriptor == 0:
                self._pass_input_on()
            elif event & (select.POLLERR | select.POLLHUP):
                raise LeftError

    def _pass_signals_on(self, numbers: bytes) -> None:
        if signal.SIGWINCH in numbers:
            size = os.get_terminal_size(1)
            self._attachment.resize(size.columns, size.lines)
        if signal.SIGINT in numbers:
            self._attachment.interrupt()

    def _pass_input_on(self) -> None:
        try:
            chunk = os.read(0, _CHUNK)
        except OSError:  # a terminal that was hung up
            raise LeftError from None
        if chunk:
            self._attachment.write(chunk)
            return
        self._listening = False
        self._attachment.end_input()


def _print(stream: int, chunk: bytes) -> None:
    try:
        while chunk:
            chunk = chunk[os.write(stream, chunk) :]
    except OSError:
        raise LeftError from None


@contextmanager
def _raw(there: bool) -> Iterator[None]:
    """What is typed goes to the process as it is."""
    if not there:
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSANOW)  # what was typed ahead is kept
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
