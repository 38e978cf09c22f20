"""A real door on a free port, a real git client, and builds that a test scripts."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gitreceive.config import Settings
from gitreceive.engines.git_store import GitStore
from gitreceive.model import App, AppName, CommitId, UserName
from gitreceive.ports import Log
from gitreceive.receive.server import Receiver, serve
from tests.fake_ledger import FakeLedger
from tests.fake_logbook import FakeLogBook
from tests.fake_receive import FakeRunner

SHOP = AppName("shop")
_CLI = "import os, sys; from tests.receive import cli_of_tests; sys.exit(cli_of_tests.main(sys.argv[1:]))"


@dataclass
class Outcome:
    code: int
    out: str
    err: str


class Place:
    """A server with its folder, and two users: alice, who owns shop, and bob. root is the administrator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(data_dir=folder / "data", ssh_listen="127.0.0.1:0")
        self.ledger = FakeLedger()
        self.logbook = FakeLogBook()
        self.sources = GitStore(self.settings)
        self.runner = FakeRunner(self.ledger, self.logbook, self.sources)
        for user in ("alice", "bob", "root", "stranger"):
            self._key(user)
        self.ledger.create_app(SHOP, UserName("alice"), "main")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.receiver: Receiver | None = None

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
            cli=(sys.executable, "-c", _CLI),
        )
        self.receiver = asyncio.run_coroutine_threadsafe(serving, self._loop).result(20)

    def stop(self) -> None:
        """The doors only; builds go on."""
        if self.receiver:
            asyncio.run_coroutine_threadsafe(self.receiver.close(), self._loop).result(20)
            self.receiver = None

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

    def url(self, app: str = "shop") -> str:
        return f"ssh://git@127.0.0.1:{self.port}/{app}"

    def head(self, ref: str = "refs/heads/main") -> CommitId:
        return self.sources.head(SHOP, ref)

    def environment(self, user: str = "alice", **more: str) -> dict[str, str]:
        words = ["ssh", *self._options(user)]
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_SSH_COMMAND": " ".join(words),
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


class pushing:  # noqa: N801  reads as a verb
    """A push that goes on beside the test."""

    def __init__(self, clone: Clone) -> None:
        self._process = subprocess.Popen(
            ["git", "push", clone.place.url(), "main"],
            cwd=clone.path,
            env=clone.place.environment(clone.user),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> "subprocess.Popen[str]":
        return self._process.__enter__()

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._process.kill()
        self._process.__exit__(None, None, None)


def until(true: "object", seconds: float = 10) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


@pytest.fixture
def unstarted(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
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
