"""The world of the scenarios: a real server in its own data folder, developers with keys, clones that are pushed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SAMPLES = Path(__file__).resolve().parent.parent / "apps"
_ROOT = SAMPLES.parent.parent
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def all(self) -> str:
        return self.out + self.err

    def ok(self) -> "Said":
        assert self.code == 0, self.all
        return self

    def failed(self) -> "Said":
        assert self.code != 0, self.all
        return self

    def says(self, *texts: str) -> "Said":
        """Each text is in the output, in this order."""
        position = 0
        for text in texts:
            found = self.all.find(text, position)
            assert found >= 0, f"{text!r} is not said (in this order) in:\n{self.all}"
            position = found + len(text)
        return self

    def does_not_say(self, *texts: str) -> "Said":
        for text in texts:
            assert text not in self.all, f"{text!r} is said in:\n{self.all}"
        return self

    def json(self) -> Any:
        return json.loads(self.out)


def run(
    command: list[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 300,
) -> Said:
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def signing(folder: Path) -> dict[str, str]:
    """Settings for a signing key that is new, and sealed; its public part is ``signing.pub`` in the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    seal = serialization.BestAvailableEncryption(b"sealed for tests")
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, seal)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "signing.pem").touch(0o600)
    (folder / "signing.pem").write_bytes(private)
    (folder / "signing.pub").write_bytes(public)
    return {
        "GITRECEIVE_SUPPLY_CHAIN_SIGNING_KEY_FILE": str(folder / "signing.pem"),
        "GITRECEIVE_SUPPLY_CHAIN_SIGNING_KEY_PASSWORD": "sealed for tests",
    }


class Started(Protocol):
    """What there is of ``subprocess.Popen``."""

    pid: int

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sent: int, /) -> None: ...


@dataclass
class Server:
    """``gitreceive server`` as a process, with free ports and a data folder of its own."""

    folder: Path
    target: str
    settings: Mapping[str, str] = field(default_factory=dict)  # further GITRECEIVE_… variables
    ssh_port: int = 0
    http_port: int = 0
    metrics_port: int = 0
    process: Started | None = None
    program: tuple[str, ...] = ("-m", "gitreceive", "server")  # what Python runs
    patience: float = 60.0  # seconds in which it starts; it ends in half of that
    _leaving: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2), repr=False)

    @property
    def env(self) -> dict[str, str]:
        own = {
            "GITRECEIVE_DATA_DIR": str(self.folder / "data"),
            "GITRECEIVE_TARGET": self.target,
            "GITRECEIVE_SSH_LISTEN": f"127.0.0.1:{self.ssh_port}",
            "GITRECEIVE_HTTP_LISTEN": f"127.0.0.1:{self.http_port}",
            "GITRECEIVE_METRICS_HTTP_LISTEN": f"127.0.0.1:{self.metrics_port}",
            "GITRECEIVE_BUILD_CA_BUNDLE": os.environ.get("GITRECEIVE_TEST_CA_BUNDLE", ""),
            "GITRECEIVE_BUILD_ENV": os.environ.get("GITRECEIVE_TEST_BUILD_ENV", ""),
            "GITRECEIVE_DRAINS_PRIVATE": "127.0.0.0/8",  # receivers of the tests
            "GITRECEIVE_KUBERNETES_NAMESPACE_PREFIX": f"t{self.ssh_port}-",
            "GITRECEIVE_KUBERNETES_NODE_ADDRESS": "127.0.0.1",
            "GITRECEIVE_KUBERNETES_NETWORK_POLICY": "strict",
            "GITRECEIVE_KUBERNETES_CPU": "10m",  # many small apps on one small node
            "GITRECEIVE_DOCKER_FIRST_PORT": str(20000 + self.ssh_port % 10000),
        }
        return {**os.environ, **own, **self.settings}

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self, *, may_die: bool = False) -> "Server":
        """Until it answers; where it ``may_die``, also until it has."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.ssh_port:
            self.ssh_port, self.http_port, self.metrics_port = free_ports(3)
        self.process = self.begin()
        wait_until(
            lambda: port_answers(self.ssh_port) or self._died(may_die),
            f"the server answers; {self.log}",
            self.patience,
        )
        return self

    def begin(self) -> Started:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *self.program], cwd=_ROOT, env=self.env, stdout=log, stderr=log
            )

    def _died(self, may: bool) -> bool:
        assert self.process is not None
        assert may or self.process.poll() is None, self.log.read_text()
        return self.process.poll() is not None

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(sent)
        return self.process.wait(timeout=self.patience / 2)

    def cli(self, *arguments: str, stdin: str = "") -> Said:
        return run([sys.executable, "-m", "gitreceive", *arguments], env=self.env, stdin=stdin)

    def developer(self, name: str, *, admin: bool = False) -> "Developer":
        """A user with a new key."""
        key = self.folder / f"key-{name}"
        if not key.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]).ok()
            flags = ["--admin"] if admin else []
            self.cli("keys", "add", name, *flags, stdin=key.with_suffix(".pub").read_text()).ok()
        return Developer(self, name, key)

    def let_go(self, app: str) -> None:
        """Remove an app while the next scenario runs: a small node holds only so many. ``destroy_apps`` sees that it is gone."""
        self._leaving.submit(self.cli, "apps", "destroy", app, "--confirm", app)

    def destroy_apps(self) -> None:
        """All at once: a cluster takes seconds for each, and has the time for many."""
        self._leaving.shutdown()
        names = [app["name"] for app in self.cli("apps", "list", "--json").ok().json()]
        with ThreadPoolExecutor(8) as pool:
            for gone in pool.map(lambda name: self.cli("apps", "destroy", name, "--confirm", name), names):
                gone.ok()


@dataclass
class Developer:
    server: Server
    name: str
    key: Path

    @property
    def ssh_command(self) -> list[str]:
        known = self.server.folder / "known_hosts"
        options = ("IdentitiesOnly=yes", f"UserKnownHostsFile={known}", "StrictHostKeyChecking=accept-new")
        flags = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "/dev/null", "-i", str(self.key), *flags]

    @property
    def env(self) -> dict[str, str]:
        """The developer's own machine: no server's data folder there."""
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("GITRECEIVE_", "GIT_"))
        }
        identity = {
            f"GIT_{who}_{what}": self.name for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        return {
            **own,
            **identity,
            "GIT_SSH_COMMAND": " ".join(self.ssh_command),
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }

    def ssh(self, *words: str, stdin: str = "") -> Said:
        return run([*self.ssh_command, "-p", str(self.server.ssh_port), "git@127.0.0.1", *words], stdin=stdin)

    def creates(self, app: str, sample: str) -> "Clone":
        """An app, and a clone with a sample's source and the remote ``deploy``."""
        self.ssh("apps", "create", app).ok()
        clone = Clone(self, app, self.server.folder / f"clone-{app}")
        shutil.copytree(SAMPLES / sample, clone.folder)
        prepare(clone.folder)
        clone.git("init", "--quiet", "--initial-branch", "main").ok()
        clone.git("remote", "add", "deploy", clone.url).ok()
        clone.commit(f"Take {sample} as it is")
        return clone


@dataclass
class Clone:
    owner: Developer
    app: str
    folder: Path

    @property
    def url(self) -> str:
        return f"ssh://git@127.0.0.1:{self.owner.server.ssh_port}/{self.app}"

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD").ok().out.strip()

    def git(self, *words: str, timeout: float = 300) -> Said:
        return run(["git", *words], cwd=self.folder, env=self.owner.env, timeout=timeout)

    def commit(self, message: str, files: Mapping[str, str] | None = None) -> None:
        for name, text in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all", "--force").ok()
        self.git("commit", "--quiet", "--allow-empty", "-m", message).ok()

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit one place of one file and commit it."""
        text = (self.folder / name).read_text()
        assert old in text, f"{old!r} is not in {name}"
        self.commit(f"{old} becomes {new}", {name: text.replace(old, new)})

    def push(self, *options: str) -> Said:
        return self.git("push", *options, "deploy", "main")

    def start_push(self, *words: str) -> subprocess.Popen[str]:
        """A push in the background, as a terminal would run it: in a process group of its own."""
        return subprocess.Popen(
            ["git", "push", *words, "deploy", "main"],
            cwd=self.folder,
            env=self.owner.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def remote_head(self) -> str:
        """Where the deploy branch is on the server; empty where it does not exist."""
        return self.git("ls-remote", "deploy", "refs/heads/main").ok().out.split("\t")[0]

    def builds(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            self.owner.ssh("builds", "list", "--app", self.app, "--json").ok().json()
        )
        return found

    def processes(self) -> list[dict[str, Any]]:
        """All instances that `ps` shows."""
        found = self.owner.ssh("ps", self.app, "--json").ok().json()
        return [instance for process in found["processes"] for instance in process["instances"]]

    def web(self) -> str:
        return self.owner.ssh("open", "--app", self.app).ok().out.strip()

    def get(self, path: str = "/", *, status: int = 200) -> str:
        return fetch(self.web() + path, status=status)


def prepare(folder: Path) -> None:
    """Run what a sample asks for before its first commit: ``.prepare``, a command as a JSON list."""
    script = folder / ".prepare"
    if script.exists():
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        run(json.loads(script.read_text()), cwd=folder, env={**os.environ, "PATH": path}).ok()
        script.unlink()


def fetch(url: str, *, status: int = 200, patience: float = 10) -> str:
    """The answer's body. A refused connection is tried again for a while; another status is not."""
    until = time.monotonic() + patience
    while True:
        try:
            with _NO_PROXY.open(url, timeout=10) as answer:
                assert answer.status == status
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                assert error.code == status, f"{url} answers {error.code}"
                return error.read().decode()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    try:
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def port_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(seen: Any, what: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.destroy_apps()
            server.stop()
