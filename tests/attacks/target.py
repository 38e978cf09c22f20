"""The server under attack, and what an attacker holds: a key, a token, sockets."""

import asyncio
import base64
import os
import re
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

from gitreceive.config import Settings
from gitreceive.engines.sql_ledger import SqlLedger, open_ledger
from gitreceive.model import AppName, Reach, Scope, UserName, draw_token
from tests.attacks.packs import Pack
from tests.receive.pushes import until

_T = TypeVar("_T")
ZERO = "0" * 40
PATIENCE = 30.0  # seconds that one attack may take on the slowest machine
_FAULTS = re.compile(r"Traceback|ERROR|CRITICAL|never retrieved")


@dataclass(frozen=True)
class Heard:
    """What a session said, and how it ended; ``code`` None: without a word, or the channel was refused."""

    code: int | None
    out: bytes
    err: bytes

    @property
    def all(self) -> str:
        return (self.out + self.err).decode("utf-8", "replace")


class Fort:
    """A running server. alice owns shop, bob has nothing, root is the administrator; all have keys, alice and bob a token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(data_dir=folder / "data")
        self.ledger: SqlLedger = open_ledger(self.settings)
        self.keys = {
            name: asyncssh.generate_private_key("ssh-ed25519") for name in ("alice", "bob", "root", "mallory")
        }
        self.tokens: dict[str, str] = {}
        for name, key in self.keys.items():
            key.write_private_key(folder / name)
            if name != "mallory":
                self._admit(name, key)
        self.ledger.create_app(AppName("shop"), UserName("alice"), "main")
        self.ledger.create_app(AppName("other"), UserName("root"), "main")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._connections: dict[str, asyncssh.SSHClientConnection] = {}
        self._log = folder / "server.log"
        self.process = self._start()
        assert self.process.stdout
        self.ssh_port, self.http_port = map(int, self.process.stdout.readline().split())

    def _admit(self, name: str, key: asyncssh.SSHKey) -> None:
        algorithm, blob = key.export_public_key("openssh").decode().split()[:2]
        self.ledger.add_key(UserName(name), algorithm, blob, "", key.get_fingerprint(), admin=name == "root")
        drawn = draw_token()
        self.ledger.create_token(
            drawn, UserName(name), "git", Reach(frozenset({Scope.ALL})), timedelta(days=1), UserName(name)
        )
        self.tokens[name] = drawn.text.reveal()

    def _start(self) -> "subprocess.Popen[str]":
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "GITRECEIVE_DATA_DIR": str(self.settings.data_dir),
            "GITRECEIVE_SSH_LISTEN": "127.0.0.1:0",
            "GITRECEIVE_HTTP_LISTEN": "127.0.0.1:0",
        }
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.attacks.serving"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def close(self) -> None:
        for connection in self._connections.values():
            self._loop.call_soon_threadsafe(connection.abort)
        self.process.terminate()
        assert self.process.wait(30) == 0
        assert self.process.stdout
        self.process.stdout.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.ledger.close()

    # --- how it is -----------------------------------------------------------------------------------------------------

    @property
    def repository(self) -> Path:
        return self.settings.repositories / "shop.git"

    def stored(self) -> tuple[object, ...]:
        """All that a refused attack leaves as it was: refs, objects, jobs, apps, keys."""
        # what keeps the commit of a build is the server's own, and goes by the build
        refs = [
            line for line in self.git("for-each-ref").splitlines() if "\trefs/gitreceive/builds/" not in line
        ]
        apps = [(app.name, app.owner) for app in self.ledger.apps()]
        return self.objects(), refs, len(self.ledger.jobs(limit=10_000)), apps, len(self.ledger.keys())

    def objects(self) -> list[str]:
        """The files that hold what was taken."""
        return sorted(str(path) for path in (self.repository / "objects").rglob("*") if path.is_file())

    def git(self, *words: str) -> str:
        """What git says of the repository; nothing before the first push has made it."""
        if not self.repository.is_dir():
            return ""
        command = ["git", f"--git-dir={self.repository}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout

    def faults(self) -> list[str]:
        """What the server's own log has of faults of its own."""
        return [line for line in self._log.read_text("utf-8", "replace").splitlines() if _FAULTS.search(line)]

    def children(self) -> list[str]:
        """Programs that the server runs; its fork server's children are among them, and that itself is not."""
        found: list[str] = []
        for pid, line in self._below(self.process.pid).items():
            found += self._below(pid).values() if "gitreceive.cli.forking" in line else [line]
        return found

    def _below(self, parent: int) -> dict[int, str]:
        """Command lines by their processes' numbers."""
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if (
                    entry.name.isdigit()
                    and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent
                ):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry.name)] = line.decode("utf-8", "replace")
        return found

    def memory(self) -> int:
        """The most that the server ever had, in bytes."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found
        return int(found[1]) << 10

    def is_whole(self) -> None:
        """It lives, had no fault, runs nothing any more, and nothing lies in quarantine."""
        assert self.process.poll() is None, self._log.read_text()
        assert self.faults() == []
        until(lambda: not self.children(), PATIENCE)
        assert not list(self.repository.glob("objects/*incoming*"))

    def head(self) -> str:
        found = self.git("for-each-ref", "--format=%(objectname)", "refs/heads/main").strip()
        return found or ZERO

    # --- over SSH ------------------------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, _T], seconds: float = PATIENCE) -> _T:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop).result()

    async def connect(self, user: str = "alice", **more: Any) -> asyncssh.SSHClientConnection:
        """One of its own."""
        given: dict[str, Any] = {
            "username": "git",
            "client_keys": [self.keys[user]],
            "known_hosts": None,
            "config": None,
        }
        given |= {"agent_path": None, **more}
        return await asyncssh.connect("127.0.0.1", self.ssh_port, **given)

    async def connected(self, user: str = "alice") -> asyncssh.SSHClientConnection:
        """One that is shared."""
        if user not in self._connections or self._connections[user].is_closed():
            self._connections[user] = await self.connect(user)
        return self._connections[user]

    def ask(self, command: bytes | str | None, stdin: bytes = b"", user: str = "alice", **more: Any) -> Heard:
        return self.run(self.asked(command, stdin, user, **more))

    async def asked(
        self, command: bytes | str | None, stdin: bytes = b"", user: str = "alice", **more: Any
    ) -> Heard:
        connection = await self.connected(user)
        try:
            process = await connection.create_process(command, encoding=None, **more)
            with suppress(BrokenPipeError):  # it is refused before it is heard
                process.stdin.write(stdin)
                process.stdin.write_eof()
            done = await process.wait()
        except asyncssh.ChannelOpenError as error:
            return Heard(None, b"", error.reason.encode())
        return Heard(done.exit_status, _bytes(done.stdout), _bytes(done.stderr))

    def push(
        self,
        updates: Iterable[tuple[str | bytes, str, str]],
        pack: bytes = b"",
        options: Sequence[bytes] | None = None,
        user: str = "alice",
        **more: Any,
    ) -> Heard:
        """What git push sends (gitprotocol-pack(5)), with nothing checked: updates of ref, old and new."""
        capabilities = b"report-status" + (b" push-options" if options is not None else b"")
        lines: list[bytes] = []
        for ref, old, new in updates:
            name = ref if isinstance(ref, bytes) else ref.encode()
            lines.append(f"{old} {new} ".encode() + name + (b"\0 " + capabilities if not lines else b""))
        sent = b"".join(map(packet, lines)) + b"0000"
        if options is not None:
            sent += b"".join(map(packet, options)) + b"0000"
        return self.ask("git-receive-pack 'shop'", sent + pack, user, **more)

    # --- over HTTP -----------------------------------------------------------------------------------------------------

    def basic(self, user: str) -> str:
        """A header by which the user's token is shown."""
        return f"Authorization: Basic {base64.b64encode(f'x:{self.tokens[user]}'.encode()).decode()}\r\n"

    def speak(
        self, sent: bytes, *, seconds: float = PATIENCE, port: int = 0, come_from: str = "127.0.0.1"
    ) -> bytes:
        """What comes back on a new connection until it is closed, or nothing more comes for a while."""
        return self.run(self._spoken(sent, seconds, port or self.http_port, come_from), seconds + 1)

    async def _spoken(self, sent: bytes, seconds: float, port: int, come_from: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(come_from, 0))
        heard = b""
        with suppress(ConnectionError, TimeoutError):
            writer.write(sent)
            async with asyncio.timeout(seconds):
                await writer.drain()
                while chunk := await reader.read(65536):
                    heard += chunk
        writer.transport.abort()
        return heard


def _bytes(said: bytes | str | None) -> bytes:
    return said if isinstance(said, bytes) else (said or "").encode()


def packet(line: bytes) -> bytes:
    """A pkt-line (gitprotocol-common(5))."""
    return b"%04x" % (len(line) + 4) + line


def honest(fort: Fort, said: bytes = b"hello\n") -> Heard:
    """A commit on top of what is live, pushed as anybody would. It is in order."""
    pack = Pack()
    files = [("100644", b"app.py", pack.blob(b"print()\n")), ("100644", b"said", pack.blob(said))]
    tree = pack.tree(*files)
    before = fort.head()
    parents = [] if before == ZERO else [before]
    new = pack.commit(tree, *parents, more=b"\n\n" + os.urandom(8).hex().encode() + b"\n")
    heard = fort.push([("refs/heads/main", before, new)], pack.whole())
    assert b"ok refs/heads/main" in heard.out, heard
    assert fort.head() == new
    return heard
