"""The sessions that are open. What a hook may claim is only a push that the door has opened."""

import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gitreceive.acting import Actor
from gitreceive.errors import ForbiddenError
from gitreceive.model import App, CommitId
from gitreceive.receive.policy import Findings


@dataclass(frozen=True)
class Address:
    """Where the client found the server, for the commands that it is shown. ``web`` is the URL of the HTTP door where it came by that."""

    host: str
    port: int
    user: str = "git"
    web: str = ""

    @property
    def ssh(self) -> str:
        """``ssh -p 2222 git@host``."""
        there = f"{self.user}@{self.host}"
        return f"ssh -p {self.port} {there}" if self.port != 22 else f"ssh {there}"

    def remote(self, app: str) -> str:
        """``ssh://git@host:2222/shop``, or ``https://host/shop``."""
        if self.web:
            return f"{self.web}/{app}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port != 22 else ""
        return f"ssh://{self.user}@{host}{port}/{app}"


@dataclass
class Session:
    """One push over one connection. ``inspected`` is what pre-receive found, by commit; proc-receive takes nothing else."""

    actor: Actor
    app: App
    repository: Path
    address: Address
    received: threading.Event = field(default_factory=threading.Event)
    taken: threading.Event = field(default_factory=threading.Event)  # out of quarantine, into the repository
    gone: threading.Event = field(default_factory=threading.Event)  # the client
    on_received: Callable[[], None] = lambda: None  # called once all its objects are there, from any thread
    quarantine: Path | None = None
    inspected: dict[CommitId, Findings] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since its client was let in."""
        return time.monotonic() - self.began

    def sweep(self) -> None:
        """Remove the quarantine, where a git that was killed has left it."""
        if self.quarantine:
            shutil.rmtree(self.quarantine, ignore_errors=True)


def sweep_quarantines(repositories: Path) -> None:
    """Remove what pushes have left behind that were under way when the server was killed. Only while none is under way."""
    for pattern in ("*.git/objects/incoming-*", "*.git/objects/tmp_objdir-incoming-*"):
        for path in repositories.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


class Sessions:
    """Thread-safe. A token is random, known to one receive-pack and its hooks, and dies with it."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._kinds: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def opened(self, session: Session) -> Iterator[str]:
        """The token by which hooks name the session while inside."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._open[token] = session
        try:
            yield token
        finally:
            with self._lock:
                del self._open[token]

    def find(self, token: str) -> Session:
        """Raises ForbiddenError where no such push is under way."""
        with self._lock:
            session = self._open.get(token)
        if session is None or session.gone.is_set():
            raise ForbiddenError("this push is not known to the server", hint="push again")
        return session

    @contextmanager
    def counted(self, kind: str) -> Iterator[None]:
        """A session of whatever kind is open while inside."""
        with self._lock:
            self._kinds[kind] += 1
        try:
            yield
        finally:
            with self._lock:
                self._kinds[kind] -= 1

    def kinds(self) -> Mapping[str, int]:
        """How many sessions are open, by kind."""
        with self._lock:
            return dict(self._kinds)
