"""Clients that push, each to an app of its own, whatever is killed meanwhile."""

import random
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from scripts.survival.looking import waiting
from tests.e2e.world import Clone, Developer, run

_BUILD = re.compile(r"Build (\d+) of ")
_PAUSE = (0.0, 0.5)  # seconds between two pushes of a client
_AWAY = 0.3  # seconds more where no server is there
_MOST_WAITING = 2  # builds of an app; a developer whose push was cut off does not push for ever
_WHOLE = {
    "Procfile": "web: python serve.py\nrelease: python prepare.py\n",
    "app.json": '{"scripts": {"dokku": {"postdeploy": "python prepare.py"}}}\n',
}
_SMALL = {
    "Procfile": "web: python serve.py\n",
    "app.json": '{"formation": {"web": {"quantity": 0}}}\n',
}
_PREPARE = "print('prepared', flush=True)\n"
_SERVE = """\
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "{version}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["GITRECEIVE_COMMIT"].encode() + b"\\n")

    def log_message(self, *_):
        pass


if VERSION.endswith("broken"):
    sys.exit("this version does not start")
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass
class Told:
    """What the clients were told, together. Thread-safe."""

    accepted: dict[str, set[str]] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    ends: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, app: str, commit: str, code: int, said: str) -> None:
        with self._lock:
            self.begun.update(int(number) for number in _BUILD.findall(said))
            self.ends["accepted" if code == 0 else _why(said)] += 1
            if code == 0:
                self.accepted.setdefault(app, set()).add(commit)

    def so_far(self) -> tuple[Mapping[str, frozenset[str]], frozenset[int]]:
        """By app, the commits that were accepted; the builds that somebody was told of."""
        with self._lock:
            accepted = {app: frozenset(commits) for app, commits in self.accepted.items()}
            return accepted, frozenset(self.begun)


class Client(threading.Thread):
    """Commits and pushes until ``rest``, then until ``stop``. What it does follows from ``chance`` alone.

    ``small``: an app of which no process runs, and whose releases have no command.
    """

    def __init__(
        self, owner: Developer, app: str, chance: random.Random, told: Told, *, small: bool = False
    ) -> None:
        super().__init__(name=app, daemon=True)
        self._owner = owner
        self._app = app
        self._chance = chance
        self._told = told
        self._resting = threading.Event()
        self._stopped = threading.Event()
        self._idle = threading.Event()
        self._clone = _clone(owner, app, _SMALL if small else _WHOLE)
        self._version = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                if self._resting.is_set():
                    self._idle.set()
                    self._stopped.wait(0.1)
                    continue
                self._idle.clear()
                if waiting(self._owner.server, self._app) >= _MOST_WAITING:
                    self._stopped.wait(0.2)
                    continue
                self._push()
                self._stopped.wait(self._chance.uniform(*_PAUSE))
        except BaseException as error:  # noqa: BLE001  told to whoever waits for this client
            self.failure = error
        finally:
            self._idle.set()

    def rest(self, seconds: float) -> None:
        """No push is under way any more. Raises AssertionError where one does not end, and the client's own failure."""
        self._resting.set()
        assert self._idle.wait(seconds), f"a push to {self._app} has not ended within {seconds} s"
        if self.failure:
            raise self.failure

    def go_on(self) -> None:
        self._idle.clear()
        self._resting.clear()

    def stop(self) -> None:
        self._stopped.set()

    def settle(self) -> None:
        """One more push, which nothing disturbs: it must go live. Raises AssertionError."""
        self._commit("")
        said = self._clone.push()
        self._told.add(self._app, self._clone.head, said.code, said.all)
        said.ok()

    def _push(self) -> None:
        self._commit("broken" if self._chance.random() < 0.12 else "")
        options = ["-o", "nocache"] if self._chance.random() < 0.35 else []
        said = self._clone.push(*options)
        self._told.add(self._app, self._clone.head, said.code, said.all)
        if "Connection refused" in said.all:
            self._stopped.wait(_AWAY)

    def _commit(self, kind: str) -> None:
        self._version += 1
        source = _SERVE.format(version=f"{self._version}{kind}")
        # a few bytes that nobody has seen, so that a pack takes a moment to receive
        ballast = "\n".join(f"{self._chance.getrandbits(256):x}" for _ in range(2000))
        self._clone.commit(f"Version {self._version}", {"serve.py": source, "ballast.txt": ballast})


def _clone(owner: Developer, app: str, files: Mapping[str, str]) -> Clone:
    """A new app, with its source."""
    owner.ssh("apps", "create", app).ok()
    clone = Clone(owner, app, owner.server.folder / f"clone-{app}")
    clone.folder.mkdir()
    clone.git("init", "--quiet", "--initial-branch", "main").ok()
    run(["git", "remote", "add", "deploy", clone.url], cwd=clone.folder, env=owner.env).ok()
    clone.commit("Begin", {**files, "prepare.py": _PREPARE, ".python-version": "3\n"})
    return clone


def _why(said: str) -> str:
    """In few words, to be counted."""
    if found := re.search(r"\[remote rejected\] \S+ -> \S+ \((.*)\)", said):
        return f"rejected: {re.sub(r'[0-9]+', 'N', found[1])[:70]}"
    for word in ("server stopped", "server is not running", "Connection refused", "hung up", "closed by"):
        if word in said:
            return word
    return (said.strip().splitlines() or ["nothing said"])[-1][:70]
