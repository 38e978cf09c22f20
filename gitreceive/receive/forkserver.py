"""The loop of a fork server: a process that has imported a program, and runs it in a child of its own as often as it is asked.

It is asked on one socket, by a byte with a descriptor: the command's own socket. The rest is between the child and who asked, so a slow
request holds up nobody. On the command's socket the child says which process it is (``PID``); it is sent its three standard files, words and
environment (``request``); and says with which code it is about to end (``LEAVING``). Then the fork server says how it did end (``ENDED``). A
socket that ends without tells that the child has ended, and that the fork server had been killed before.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO, cast

from gitreceive import config

WORD = struct.Struct(">ci")  # what is said, and a number
PID, LEAVING, ENDED = b"p", b"l", b"e"
_HEAD = struct.Struct(">I")
_STANDARD = (0, 1, 2)
_IDLE_SECONDS = 900.0  # in which a fork server that nobody asks holds its memory
_UNFLUSHED = 120  # as Python's interpreter exits where its output could not be written


def request(words: Sequence[str], environment: Mapping[str, str]) -> tuple[bytes, bytes]:
    """What is sent to a child: first the one, with the three standard files, then the other."""
    body = json.dumps([list(words), dict(environment)]).encode("ascii")
    return _HEAD.pack(len(body)), body


def serve(control: int, program: Callable[[], None], idle_seconds: float = _IDLE_SECONDS) -> None:
    """Until ``control`` is closed at its other end, or nobody has asked for anything for a while. ``program`` reads ``sys.argv`` and returns, or
    raises SystemExit, as a command line's main function does; children that run are left alone.

    To be called where there is one thread, and with all imported that commands need.
    """
    gc.collect()
    gc.freeze()  # the collector would write to pages that children share
    with socket.socket(fileno=control) as asked:
        _Forks(asked, program, idle_seconds).serve()


class _Forks:
    """Sockets of commands are kept as numbers: an object in a child would close one that is another's by then."""

    def __init__(self, asked: socket.socket, program: Callable[[], None], idle_seconds: float) -> None:
        self._asked = asked
        self._program = program
        self._idle_seconds = idle_seconds
        self._channels: dict[int, int] = {}
        self._woken, self._waker = os.pipe()

    def serve(self) -> None:
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._asked, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        last = time.monotonic()
        while self._channels or time.monotonic() - last < self._idle_seconds:
            ready = {descriptor for descriptor, _ in poll.poll(self._idle_seconds * 1000)}
            if self._woken in ready:
                self._reap()
            if self._asked.fileno() in ready:
                if not self._fork():
                    return
                last = time.monotonic()

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = ended
                channel = self._channels.pop(pid)
                with suppress(OSError):  # nobody waits for it any more
                    os.write(channel, WORD.pack(ENDED, status))
                os.close(channel)

    def _fork(self) -> bool:
        """Whether there may be more to do."""
        said, channels, _, _ = socket.recv_fds(self._asked, 1, 1, socket.MSG_CMSG_CLOEXEC)
        if not said:
            return False
        if not channels:  # there was no number left for it: whoever asked is told by its end
            return True
        (channel,) = channels
        try:
            pid = os.fork()
        except OSError:
            traceback.print_exc()
            os.close(channel)  # by which whoever asked is told
            return True
        if pid == 0:
            self._asked.detach()
            _be_child(channel, self._program)
        self._channels[pid] = channel
        return True


@dataclass(frozen=True)
class _Request:
    words: list[str]
    environment: dict[str, str]
    files: list[int]


def _be_child(channel: int, program: Callable[[], None]) -> NoReturn:
    """A session of its own, in which nothing of the fork server's is open."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _close_all_but(channel)
        server = socket.socket(fileno=channel)
        server.sendall(WORD.pack(PID, os.getpid()))
        asked = _receive(server)
        if asked:
            _take_over(asked)
            code = _run(program)
            server.sendall(WORD.pack(LEAVING, code))
    except OSError:
        pass  # who asked has gone
    except BaseException:  # noqa: BLE001  whatever it is, there is one fork server, and it is another process
        traceback.print_exc()
    finally:
        os._exit(code)


def _close_all_but(channel: int) -> None:
    opened = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    for descriptor in set(opened) - {*_STANDARD, channel}:
        with suppress(OSError):  # the one by which they were listed
            os.close(descriptor)


def _receive(server: socket.socket) -> _Request | None:
    """What is to be run; None where who asked has gone."""
    head, files, _, _ = socket.recv_fds(server, _HEAD.size, len(_STANDARD), socket.MSG_CMSG_CLOEXEC)
    if len(head) < _HEAD.size:
        return None
    with server.makefile("rb") as stream:
        (length,) = _HEAD.unpack(head)
        body = stream.read(length)
    if len(body) < length:
        return None
    words, environment = json.loads(body)
    return _Request(words, environment, files)


def _take_over(asked: _Request) -> None:
    """Be as a process that was started with these files, words and environment."""
    for standard, file in zip(_STANDARD, asked.files, strict=True):
        os.dup2(file, standard)
        os.close(file)
    config.replace_environment(asked.environment)
    time.tzset()
    sys.argv = [sys.argv[0], *asked.words]
    sys.stdin = _text(0, "r", sys.stdin.errors)
    sys.stdout = _text(1, "w", sys.stdout.errors)
    sys.stderr = _text(2, "w", sys.stderr.errors)


def _text(descriptor: int, mode: str, errors: str | None) -> TextIO:
    """As Python's interpreter opens a standard file when it starts."""
    opened = open(  # noqa: SIM115  for as long as the process lives
        descriptor,
        mode,
        buffering=1 if descriptor == 2 else -1,
        encoding=sys.stdout.encoding,
        errors=errors,
        newline="\n",
        closefd=False,
    )
    return cast("TextIO", opened)


def _run(program: Callable[[], None]) -> int:
    """To the end of its threads and of what is to be done at exit, as the interpreter does it; the exit code. All that was imported is left as it is:
    taking it apart would copy each shared page.
    """
    code = _code_of(program)
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  waits for threads, and ends those of pools
    atexit._run_exitfuncs()  # noqa: SLF001
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return _UNFLUSHED
    return code


def _code_of(program: Callable[[], None]) -> int:
    try:
        program()
    except SystemExit as ended:
        if isinstance(ended.code, int):
            return ended.code & 0xFF
        if ended.code is None:
            return 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except BaseException:  # noqa: BLE001  as the interpreter does
        sys.excepthook(*sys.exc_info())
        return 1
    return 0
