"""A real door on a free port, a real git client, and builds that a test scripts."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from gitreceive.config import Settings
from gitreceive.engines.git_store import GitStore
from gitreceive.model import App, AppName, CommitId, Reach, Scope, UserName, draw_token
from gitreceive.ports import Log
from gitreceive.receive.forked import CommandLine
from gitreceive.receive.server import Receiver, serve
from gitreceive.web.application import application
from gitreceive.web.git_door import GitDoor
from gitreceive.web.listener import HttpListener, Times
from gitreceive.web.visitors import Attempts, Visitors
from tests.fake_ledger import FakeLedger
from tests.fake_logbook import FakeLogBook
from tests.fake_receive import FakeRunner

SHOP = AppName("shop")
PROGRAM = (sys.executable, "-c", "from tests.receive import cli_of_tests; cli_of_tests.main()")
FORKING = (sys.executable, "-m", "tests.receive.cli_of_tests")


@dataclass
class Outcome:
    code: int
    out: str
    err: str


class Place:
    """A server with its folder, and two users: alice, who owns shop, and bob. root is the administrator. ``door`` is where git comes in."""

    def __init__(self, folder: Path, door: str = "ssh", ledger: FakeLedger | None = None) -> None:
        self.folder = folder
        self.door = door
        self.settings = Settings(
            data_dir=folder / "data", ssh_listen="127.0.0.1:0", http_listen="127.0.0.1:0"
        )
        self.tokens: dict[str, str] = {}
        self.ledger = ledger or FakeLedger()
        self.logbook = FakeLogBook()
        self.sources = GitStore(self.settings)
        self.runner = FakeRunner(self.ledger, self.logbook, self.sources)
        for user in ("alice", "bob", "root", "stranger"):
            self._key(user)
        self.ledger.create_app(SHOP, UserName("alice"), "main")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.receiver: Receiver | None = None
        self.http: HttpListener | None = None
        self.times = Times()

    def policy(self, **changes: object) -> None:
        """Before ``start``."""
        self.settings = replace(self.settings, policy=replace(self.settings.policy, **changes))  # type: ignore[arg-type]

    def start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()
            self.runner.start()
        serving = serve(
            self.settings,
            ledger=self.ledger,
            sources=self.sources,
            logbook=self.logbook,
            retire=self._retire,
            cli=CommandLine(PROGRAM, FORKING),
        )
        self.receiver = asyncio.run_coroutine_threadsafe(serving, self._loop).result(20)
        door = GitDoor(
            self.settings, self.receiver.git, Visitors(self.ledger, Attempts()), self.receiver.port
        )
        self.http = HttpListener(self.settings, application(lambda: (), door), self.times)
        asyncio.run_coroutine_threadsafe(self.http.open(), self._loop).result(20)

    def stop(self) -> None:
        """The doors only; builds go on."""
        for door in (self.receiver, self.http):
            if door:
                asyncio.run_coroutine_threadsafe(door.close(), self._loop).result(20)
        self.receiver = self.http = None

    def end(self) -> None:
        self.stop()
        self.runner.stop()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _retire(self, app: App, _log: Log) -> None:
        assert app.review
        self.sources.remove(app.review.of, app.deploy_ref)
        self.ledger.delete_app(app.name)

    @property
    def port(self) -> int:
        assert self.receiver
        return self.receiver.port

    @property
    def web(self) -> str:
        assert self.http
        scheme = "https" if self.settings.http.certificate else "http"
        return f"{scheme}://127.0.0.1:{self.http.port}"

    def url(self, app: str = "shop") -> str:
        if self.door == "http":
            return f"{self.web}/{app}"
        if self.door == "openssh":
            return f"ssh://git@127.0.0.1/{app}"
        return f"ssh://git@127.0.0.1:{self.port}/{app}"

    @property
    def shown_ssh(self) -> str:
        """How commands are given, as users are told."""
        return "ssh git@127.0.0.1" if self.door == "openssh" else f"ssh -p {self.port} git@127.0.0.1"

    def head(self, ref: str = "refs/heads/main") -> CommitId:
        return self.sources.head(SHOP, ref)

    def environment(self, user: str = "alice", **more: str) -> dict[str, str]:
        words = [str(self._sshd(user))] if self.door == "openssh" else ["ssh", *self._options(user)]
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_SSH_COMMAND": " ".join(words),
            "GIT_SSH_VARIANT": "ssh",
            "GIT_ASKPASS": str(self.folder / f"{user}.token"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
            **{
                f"GIT_{who}_{what}": "a@example.com"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
            **more,
        }

    def ssh(
        self, *words: str, user: str = "alice", stdin: bytes = b"", options: tuple[str, ...] = ()
    ) -> Outcome:
        command = ["ssh", *self._options(user), "-p", str(self.port), *options, "git@127.0.0.1", *words]
        return outcome(command, cwd=self.folder, env=self.environment(user), stdin=stdin)

    def _options(self, user: str) -> list[str]:
        known = self.folder / "known_hosts"
        settings = (
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=accept-new",
            "LogLevel=ERROR",
        )
        words = [f"-o{setting}" for setting in (*settings, f"UserKnownHostsFile={known}")]
        return ["-F/dev/null", "-i", str(self.folder / user), *words]

    def _sshd(self, user: str) -> Path:
        """What sshd does with a key that it let in: the forced command, told of the client's by variables."""
        script = self.folder / f"{user}.sshd"
        algorithm, blob, _ = (self.folder / user).with_suffix(".pub").read_text().split()
        variables = {
            "PATH": os.environ["PATH"],
            "USER": "git",
            "SSH_CONNECTION": "127.0.0.1 40000 127.0.0.1 22",
            "GITRECEIVE_DATA_DIR": str(self.settings.data_dir),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        words = [sys.executable, "-m", "gitreceive", "openssh", "session", algorithm, blob]
        script.write_text(
            f"#!{sys.executable} -IS\n"
            "import os, sys\n"
            f"variables = {variables!r} | {{'SSH_ORIGINAL_COMMAND': sys.argv[-1]}}\n"
            "variables |= {n: os.environ[n] for n in ['GIT_PROTOCOL'] if n in os.environ}\n"
            f"os.execve({sys.executable!r}, {words!r}, variables)\n"
        )
        script.chmod(0o700)
        return script

    def _key(self, user: str) -> None:
        path = self.folder / user
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", user, "-f", str(path)], check=True
        )
        algorithm, blob, comment = path.with_suffix(".pub").read_text().split()
        if user != "stranger":
            self.ledger.add_key(
                UserName(user), algorithm, blob, comment, f"SHA256:{user}", admin=user == "root"
            )
            self.token(user, Scope.DEPLOY)

    def token(self, user: str, *scopes: Scope, apps: frozenset[AppName] | None = None) -> str:
        """A token in place of the user's one, as a password manager would hand it to git; its id."""
        drawn = draw_token()
        name, reach = UserName(user), Reach(frozenset(scopes), apps)
        self.ledger.create_token(drawn, name, "git", reach, timedelta(days=1), name)
        self.tokens[user] = drawn.text.reveal()
        script = self.folder / f"{user}.token"
        answers = f"case $1 in Username*) echo {user} ;; *) echo {self.tokens[user]} ;; esac"
        script.write_text(f"#!/bin/sh\n{answers}\n")
        script.chmod(0o700)
        return drawn.id


def outcome(command: list[str], *, cwd: Path, env: dict[str, str], stdin: bytes = b"") -> Outcome:
    done = subprocess.run(
        command, cwd=cwd, env=env, input=stdin, capture_output=True, timeout=120, check=False
    )
    return Outcome(
        done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )


class Clone:
    """A developer's working copy."""

    def __init__(self, place: Place, path: Path, user: str = "alice") -> None:
        self.place = place
        self.path = path
        self.user = user
        if not path.exists():
            path.mkdir()
            self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str, **more: str) -> Outcome:
        return outcome(["git", *words], cwd=self.path, env=self.place.environment(self.user, **more))

    def commit(self, **files: str) -> CommitId:
        """Write files (``__`` in a name is a slash, ``_`` a dot) and commit them."""
        for name, content in files.items():
            path = self.path / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        done = self.git("commit", "--quiet", "--allow-empty", "--message", f"change {sorted(files)}")
        assert done.code == 0, done.err
        return self.head

    @property
    def head(self) -> CommitId:
        return CommitId.parse(self.git("rev-parse", "HEAD").out.strip())

    def push(self, *words: str, app: str = "shop") -> Outcome:
        options = [word for word in words if word.startswith("-")]
        refs = [word for word in words if not word.startswith("-")]
        return self.git("push", *options, self.place.url(app), *(refs or ["main"]))


@pytest.fixture
def door() -> str:
    """Where git comes in; what every door has to hold to is tried by each."""
    return "ssh"


@pytest.fixture
def unstarted(tmp_path: Path, door: str) -> Iterator[Place]:
    place = Place(tmp_path, door)
    yield place
    place.end()


@pytest.fixture
def place(unstarted: Place) -> Place:
    unstarted.start()
    return unstarted


@pytest.fixture
def clone(place: Place, tmp_path: Path) -> Clone:
    clone = Clone(place, tmp_path / "clone")
    clone.commit(app_py="print('hello')\n", requirements_txt="flask\n")
    return clone
