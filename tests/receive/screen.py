"""A real client in a terminal."""

import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fcntl import ioctl

from tests.receive.conftest import Place


class Screen:
    def __init__(self, master: int, client: "subprocess.Popen[bytes]") -> None:
        self._master = master
        self.client = client
        self._rest = b""

    def types(self, text: bytes) -> None:
        os.write(self._master, text)

    def line(self) -> bytes:
        while b"\n" not in self._rest:
            assert select.select([self._master], [], [], 30)[0], f"nothing comes behind {self._rest!r}"
            self._rest += os.read(self._master, 4096)
        line, _, self._rest = self._rest.partition(b"\n")
        return line.strip()

    def resize(self, rows: int, columns: int) -> None:
        ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.client.send_signal(signal.SIGWINCH)

    def ends(self) -> int:
        end = time.monotonic() + 30
        while self.client.poll() is None:
            assert time.monotonic() < end, "the client does not end"
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    os.read(self._master, 4096)
                except OSError:
                    break
        return self.client.wait(30)


@contextmanager
def terminal(place: Place, *words: str, before: Sequence[str] = ()) -> Iterator[Screen]:
    """``before`` is run in the terminal first, to set its modes."""
    master, slave = pty.openpty()
    if before:
        subprocess.run(before, stdin=slave, check=True)
    command = ["ssh", *place._options("alice"), "-tt", "-p", str(place.port), "git@127.0.0.1", *words]
    environment = place.environment() | {"TERM": "vt220"}
    client = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    try:
        yield Screen(master, client)
    finally:
        client.kill()
        client.wait()
        os.close(master)
