"""One real target, one app of its own: what the tests of targets stand on."""

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RolloutError
from gitreceive.model import (
    AppName,
    CommitId,
    Image,
    ImageRef,
    OneOff,
    ProcessType,
    Release,
    Secret,
    Terminal,
    UserName,
)
from gitreceive.ports import Attachment, Output, Target
from gitreceive.stories.one_offs import new_name
from gitreceive.voice import Voice

SERVER = """
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.path == '/slow':
            time.sleep(2)
        body = (os.environ['GITRECEIVE_RELEASE'] + ' ' + os.environ.get('GREETING', '')).encode()
        if self.path == '/large':
            body = b'x' * (20 << 20)
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print('served', self.path, os.environ['GITRECEIVE_RELEASE'], flush=True)
    def log_message(self, *arguments):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(('', int(os.environ['PORT'])), Handler).serve_forever()
"""
TICKER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
for n in range(10**6):
    print('tick', os.environ['GITRECEIVE_RELEASE'], n, flush=True)
    time.sleep(0.1)
"""


@dataclass
class Stage:
    """One target, one app of its own, and what was said."""

    target: Target
    image: ImageRef
    app: AppName = field(default_factory=lambda: AppName.parse(f"t-{uuid4().hex[:8]}"))
    said: bytearray = field(default_factory=bytearray)
    volume: Callable[[AppName, str], AbstractContextManager[None]] = lambda _app, _name: nullcontext()
    """What the target needs beside itself to have a volume of the app."""

    @property
    def log(self) -> Voice:
        return Voice(self.said.extend)

    def release(
        self, number: int, web: str | None = SERVER, worker: str | None = None, **changes: Any
    ) -> Release:
        processes = tuple(
            ProcessType(name, ("python3", "-u", "-c", program))
            for name, program in (("web", web), ("worker", worker))
            if program is not None
        )
        release = Release(
            app=self.app,
            number=number,
            image=Image(self.image, processes, None, ("test@1",)),
            commit=CommitId("a" * 40),
            config={"GREETING": Secret("hello-canary")},
            user=UserName("ada"),
            description="Deploy aaaaaaa",
            created_at=datetime.now(UTC),
        )
        return replace(release, **changes)

    def roll_out(self, release: Release) -> None:
        self.target.roll_out(release, self.log, Cancellation())

    def fail(self, release: Release, previous: Release | None) -> RolloutError:
        """Roll out what must fail, put back, and give the error."""
        with pytest.raises(RolloutError) as error:
            self.roll_out(release)
        self.target.put_back(release, previous, self.log)
        return error.value

    def get(self, path: str = "/") -> str:
        url = self.target.url(self.app)
        assert url is not None
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def get_eventually(self, expected: str, opening: bool = False) -> None:
        """A replaced release may finish what it was given in the moment of the switch.

        With *opening*, the port may be about to open.
        """
        end = time.monotonic() + (30 if opening else 5)
        while (got := self._got(opening)) != expected:
            assert time.monotonic() < end, got
            time.sleep(0.05)

    def _got(self, opening: bool) -> str:
        try:
            return self.get()
        except ConnectionRefusedError:
            if not opening:
                raise
            return "refused"

    def one_off(self, *command: str, terminal: Terminal | None = None, kept: bool = True) -> OneOff:
        return OneOff(new_name(), command, "line", UserName("ada"), 600, kept=kept, terminal=terminal)

    def attached(
        self, *command: str, terminal: Terminal | None = None, kept: bool = True
    ) -> AbstractContextManager[Attachment]:
        asked = self.one_off(*command, terminal=terminal, kept=kept)
        return self.target.attach(self.release(1), asked, self.log, Cancellation())

    @staticmethod
    def heard(process: Attachment) -> tuple[bytes, bytes]:
        """All of stdout and of stderr."""
        pieces = list(process.output())
        out, err = (b"".join(chunk for stream, chunk in pieces if stream == which) for which in (1, 2))
        return out, err

    @staticmethod
    def hears(output: Iterator[Output], text: bytes) -> None:
        """Read on until it comes."""
        seen = b""
        while text not in seen:
            seen += next(output)[1]

    def states(self) -> set[tuple[str, str, int]]:
        return {
            (status.process, status.state, status.release)
            for status in self.target.processes(self.app)
            if status.state != "stopping"
        }


def until(take: Callable[[], str], found: Callable[[str], bool], seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found(text := take()):
            return text
    raise AssertionError("it did not come")
