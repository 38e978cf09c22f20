"""The keeper of a process that somebody attends: it starts it once they are there, and ends it when they are gone.

Neither Docker's nor Kubernetes' way into a container does both: say that input has ended while the output stays open (a websocket of
``v4.channel.k8s.io`` has no half-close), and end a process together with the connection of whoever asked for it. So what they carry as
standard input are frames: one byte of kind, four bytes of length (big endian), the payload. Where standard input itself ends, nobody
is there any more.

It runs in app containers as ``python3 -c SOURCE COMMAND…``, whatever the image was built with: one file, standard library only.
"""

import fcntl
import json
import os
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Sequence
from typing import Any

BEGIN = b"B"  # JSON: {"terminal": null}, or {"terminal": {"name": "xterm", "columns": 80, "rows": 24}}
INPUT = b"I"
END_OF_INPUT = b"E"
RESIZE = b"R"  # columns and rows, two bytes each
SIGNAL = b"S"  # its number, one byte

_HEADER = struct.Struct(">cI")
_SIZE = struct.Struct(">HH")
_CHUNK = 65536
_MOST_WAITING = 1 << 18  # bytes of input that the process has not taken yet
_GRACE_SECONDS = 5.0
_PAUSE_MILLISECONDS = 1000
_LAST_OUTPUT_SECONDS = 0.2
_NOT_STARTED = 126
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return _HEADER.pack(kind, len(payload)) + payload


def begin_frame(terminal: str | None, columns: int, rows: int) -> bytes:
    """``terminal`` is what ``$TERM`` is to be; None for no terminal."""
    size = {"name": terminal, "columns": columns, "rows": rows}
    return frame(BEGIN, json.dumps({"terminal": None if terminal is None else size}).encode())


def resize_frame(columns: int, rows: int) -> bytes:
    return frame(RESIZE, _SIZE.pack(columns, rows))


def main(command: Sequence[str]) -> int:
    """Run ``command``; its exit code, or 128 and the number of the signal that ended it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    frames = _Frames()
    first = frames.wait()
    if first is None or first[0] != BEGIN:
        sys.stderr.write("nobody came to attend the process\n")
        return _NOT_STARTED
    terminal = json.loads(first[1])["terminal"]
    return _Keeper(frames, command, terminal).keep()


class _Frames:
    """Of standard input, whole ones."""

    def __init__(self) -> None:
        self._rest = b""

    def wait(self) -> tuple[bytes, bytes] | None:
        """The first; None where none comes."""
        while (found := self.take()) is None:
            if not self.read():
                return None
        return found

    def read(self) -> bool:
        """Take in what has come; False where nobody sends any more."""
        chunk = os.read(0, _CHUNK)
        self._rest += chunk
        return bool(chunk)

    def take(self) -> tuple[bytes, bytes] | None:
        """The next of those that have come whole."""
        if len(self._rest) < _HEADER.size:
            return None
        kind, length = _HEADER.unpack_from(self._rest)
        end = _HEADER.size + length
        if len(self._rest) < end:
            return None
        payload, self._rest = self._rest[_HEADER.size : end], self._rest[end:]
        return kind, payload


class _Keeper:
    def __init__(self, frames: _Frames, command: Sequence[str], terminal: dict[str, Any] | None) -> None:
        self._frames = frames
        self._waiting = b""
        self._input_ended = False
        self._alone_since = 0.0
        self._code: int | None = None
        self._screen = terminal is not None
        self._child, self._hand = _with_terminal(command, terminal) if terminal else _with_pipe(command)
        os.set_blocking(self._hand, False)
        self._wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _PASSED_ON:
            signal.signal(number, lambda received, _: self._signal(received))

    def keep(self) -> int:
        self._obey_all()
        self._reap()
        while self._code is None:
            self._turn()
            self._reap()
        if self._screen:
            self._show_the_rest()
        return self._code

    def _turn(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if not self._alone_since:
            room = len(self._waiting) < _MOST_WAITING
            poll.register(0, select.POLLIN if room else 0)  # that the other end is closed is told anyway
        if self._hand >= 0 and (self._screen or self._waiting):
            wanted = (select.POLLIN if self._screen else 0) | (select.POLLOUT if self._waiting else 0)
            poll.register(self._hand, wanted)
        events = poll.poll(_PAUSE_MILLISECONDS if self._alone_since else None)
        for descriptor, event in events:
            if descriptor == self._wake:
                os.read(self._wake, 512)
            elif descriptor == 0:
                self._hear(event)
            else:
                self._pass_on(event)
        if self._alone_since and not events:  # a hang-up was not enough
            late = time.monotonic() - self._alone_since > _GRACE_SECONDS
            self._signal(signal.SIGKILL if late else signal.SIGTERM)

    def _hear(self, event: int) -> None:
        if event & select.POLLIN and self._frames.read():
            self._obey_all()
        elif event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._alone_since = time.monotonic()
            self._signal(signal.SIGHUP)

    def _obey_all(self) -> None:
        while (found := self._frames.take()) is not None:
            self._obey(*found)

    def _obey(self, kind: bytes, payload: bytes) -> None:
        if kind == INPUT and not self._input_ended and self._hand >= 0:
            self._waiting += payload
        elif kind == END_OF_INPUT and not self._screen:
            self._input_ended = True
            self._close_if_done()
        elif kind == RESIZE and self._screen:
            _resize(self._hand, *_SIZE.unpack(payload))
        elif kind == SIGNAL:
            self._signal(payload[0])

    def _pass_on(self, event: int) -> None:
        if event & select.POLLIN:
            self._show()
        if event & select.POLLOUT and self._waiting:
            try:
                self._waiting = self._waiting[os.write(self._hand, self._waiting[:_CHUNK]) :]
            except BlockingIOError:
                return
            except OSError:
                self._close()  # it reads no more
        elif event & (select.POLLERR | select.POLLHUP) and not event & select.POLLIN:
            self._close()
        self._close_if_done()

    def _show(self) -> bool:
        try:
            chunk = os.read(self._hand, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:  # EIO: nobody has the terminal open any more
            chunk = b""
        try:
            while chunk:
                chunk = chunk[os.write(1, chunk) :]
        except OSError:
            self._signal(signal.SIGHUP)
            return False
        return True

    def _show_the_rest(self) -> None:
        """What the process wrote last, and not what it left running still writes."""
        end = time.monotonic() + _LAST_OUTPUT_SECONDS
        while self._hand >= 0 and time.monotonic() < end:
            poll = select.poll()
            poll.register(self._hand, select.POLLIN)
            events = poll.poll(0)
            if not events or not events[0][1] & select.POLLIN or not self._show():
                return

    def _close_if_done(self) -> None:
        if self._input_ended and not self._waiting:
            self._close()

    def _close(self) -> None:
        if self._hand >= 0:
            os.close(self._hand)
        self._hand, self._waiting = -1, b""

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._child, number)
        except ProcessLookupError:
            return

    def _reap(self) -> None:
        """As the first process of a container, of whatever has lost its parent too."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not process:
                return
            if process == self._child:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code


def _with_terminal(command: Sequence[str], terminal: dict[str, Any]) -> tuple[int, int]:
    """Its process, and the master of its terminal."""
    master, slave = os.openpty()
    _resize(slave, terminal["columns"], terminal["rows"])
    child, begun = _fork()
    if child:
        os.close(slave)
        return child, master
    os.close(master)
    os.login_tty(slave)
    os.close(begun)
    os.environ["TERM"] = terminal["name"]
    _become(command)
    raise AssertionError("unreachable")


def _with_pipe(command: Sequence[str]) -> tuple[int, int]:
    """Its process, and the end of a pipe that it reads the other end of."""
    reading, writing = os.pipe()
    child, begun = _fork()
    if child:
        os.close(reading)
        return child, writing
    os.setsid()
    os.close(begun)
    os.dup2(reading, 0)
    _become(command)
    raise AssertionError("unreachable")


def _fork() -> tuple[int, int]:
    """In the parent the child's number, once the child leads a group of its own: a signal to the group must find it. In the child 0, and what it
    closes when it does.
    """
    leads, begun = os.pipe()
    child = os.fork()
    os.close(begun if child else leads)
    if child:
        os.read(leads, 1)  # the end
        os.close(leads)
    return child, begun


def _become(command: Sequence[str]) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it
    try:
        os.execvp(command[0], list(command))  # noqa: S606 - becoming the process is what it is for
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else _NOT_STARTED)


def _resize(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
