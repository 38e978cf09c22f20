"""The SSH door: who comes in, and what they may ask for. Keys only; a git service or a command; nothing else of SSH."""

import asyncio
import logging
import os
import socket
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import asyncssh
from asyncssh.constants import MSG_DISCONNECT
from asyncssh.kex import get_kex_algs
from asyncssh.packet import String, UInt32
from asyncssh.stream import SSHTCPStreamSession

from gitreceive.acting import Actor
from gitreceive.addresses import network_of
from gitreceive.config import Settings, parse_listen
from gitreceive.errors import ConfigError, GitreceiveError
from gitreceive.receive.forwarding import Handler
from gitreceive.receive.known_keys import KeyringLedger, actor_of_key
from gitreceive.receive.sessions import Address
from gitreceive.receive.windows import hold_to_window

_log = logging.getLogger(__name__)

# what ssh-audit finds nothing against; each is in OpenSSH since 6.7 (2014); the post-quantum exchange is
# there where the libraries are new enough. ChaCha20-Poly1305 is left out: a client would choose it before all others, and
# here it takes five times as long for a packet as AES-GCM
_KEX = ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
_SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_LOGIN_GRACE = 30  # seconds
_KEEPALIVE = (15, 4)  # seconds between probes, and how many may stay unanswered
_REFUSED_SECONDS = 1.0
_MOST_SESSIONS = 10  # of one connection, as in OpenSSH
_ANY = {"0.0.0.0", "::"}  # noqa: S104  compared with, not bound to


class Serve(Protocol):
    """What is behind the door."""

    async def __call__(
        self, client: "asyncssh.SSHServerProcess[bytes]", actor: Actor, address: Address
    ) -> int: ...

    async def forward(self, actor: Actor, host: str, port: int) -> Handler:
        """Who is to be spoken with on a connection to that host and port. Raises GitreceiveError on what the client may not."""


class SshDoor:
    """Open from ``open`` to ``close``."""

    def __init__(self, settings: Settings, keys: KeyringLedger, serve: Serve) -> None:
        self._settings = settings
        self._keys = keys
        self._serve = serve
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self.connections: set[_Guest] = set()

    async def open(self) -> None:
        """Raises ConfigError where the address cannot be listened on or the host key cannot be read."""
        host, port = parse_listen(self._settings.ssh_listen)
        try:
            self._acceptor = await asyncssh.create_server(
                lambda: _Guest(self, self._keys),
                host,
                port,
                server_host_keys=[host_key(self._settings.data_dir)],
                encoding=None,
                kex_algs=[name for name in _KEX if name.encode() in get_kex_algs()],
                encryption_algs=_CIPHERS,
                mac_algs=_MACS,
                signature_algs=_SIGNATURES,
                compression_algs=["none"],
                login_timeout=_LOGIN_GRACE,
                keepalive_interval=_KEEPALIVE[0],
                keepalive_count_max=_KEEPALIVE[1],
                password_auth=False,
                kbdint_auth=False,
                host_based_auth=False,
                gss_host=None,
                allow_scp=False,
                x11_forwarding=False,
                agent_forwarding=False,
                line_editor=False,
                server_version="gitreceive",
                backlog=512,
                reuse_address=True,
            )
        except OSError as error:
            raise ConfigError(
                f"{self._settings.ssh_listen} cannot be listened on: {error.strerror or error}",
                hint="stop what listens there, or set GITRECEIVE_SSH_LISTEN",
            ) from error

    @property
    def port(self) -> int:
        """The port that it is, also where the setting says 0."""
        return self._acceptor.get_port() if self._acceptor else 0

    def full(self, network: str) -> str:
        """Why one more connection from there is not served; empty where it is."""
        limits = self._settings.limits
        if len(self.connections) >= limits.connections:
            return "the server has too many connections; try again in a minute"
        if sum(guest.network == network for guest in self.connections) >= limits.address_connections:
            return f"{network} has {limits.address_connections} connections already; close some and try again"
        return ""

    async def close(self, patience: float = 3.0) -> None:
        """Take no more connections; give those that are open ``patience`` seconds to end, and then end them."""
        if self._acceptor:
            self._acceptor.close()
        for _ in range(int(patience / 0.05)):
            if not any(guest.sessions for guest in self.connections):
                break
            await asyncio.sleep(0.05)
        ending = [guest.connection for guest in self.connections if guest.connection]
        for connection in ending:
            connection.close()
        await asyncio.gather(*(connection.wait_closed() for connection in ending), return_exceptions=True)
        if self._acceptor:
            await self._acceptor.wait_closed()

    async def session(self, guest: "_Guest", process: "asyncssh.SSHServerProcess[bytes]") -> None:
        """One session of the guest's, from its request to its exit code."""
        if guest.actor is None:
            process.exit(255)
            return
        guest.sessions += 1
        try:
            code = await self._serve(process, guest.actor, self._address(guest))
        finally:
            guest.sessions -= 1
        process.exit(code)

    async def forwarded(
        self, guest: "_Guest", actor: Actor, host: str, port: int
    ) -> "asyncssh.SSHTCPSession[bytes]":
        """Raises ChannelOpenError, whose reason the client shows."""
        try:
            speak = await self._serve.forward(actor, host, port)
        except GitreceiveError as error:
            reason = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
            raise asyncssh.ChannelOpenError(reason, error.message) from error

        async def counted(reader: "asyncssh.SSHReader[bytes]", writer: "asyncssh.SSHWriter[bytes]") -> None:
            guest.sessions += 1
            try:
                await speak(reader, writer)
            finally:
                guest.sessions -= 1
                writer.close()

        return _Forwarded(guest, counted)

    def _address(self, guest: "_Guest") -> Address:
        """The configured name, else the address that the client has reached us at."""
        host, _ = parse_listen(self._settings.ssh_listen)
        if host in _ANY and guest.connection:
            host = guest.connection.get_extra_info("sockname", (host,))[0]
        return Address(self._settings.public_host or host, self.port)


class _Guest(asyncssh.SSHServer):
    """One connection. ``actor`` is set when authentication completes, by the key that completed it."""

    def __init__(self, door: SshDoor, keys: KeyringLedger) -> None:
        self._door = door
        self._keys = keys
        self.connection: asyncssh.SSHServerConnection | None = None
        self.network = ""
        self.refused = False
        self.actor: Actor | None = None
        self.sessions = 0  # that are being served
        self.channels = 0  # that are open, whatever was asked for on them yet

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.network = network_of(self._address())
        if full := self._door.full(self.network):
            _log.warning("a connection from %s is refused: %s", self._address(), full)
            self._refuse(conn, full)
            return
        self._door.connections.add(self)
        _acknowledge_at_once(conn)

    def _refuse(self, conn: asyncssh.SSHServerConnection, why: str) -> None:
        """Tell the client (RFC 4253, section 11.1), and give it a moment to read that: a connection that is closed while something of the
        client's is unread takes along what is on its way to it.
        """
        self.refused = True
        loop = asyncio.get_running_loop()
        said = UInt32(asyncssh.DISC_TOO_MANY_CONNECTIONS), String(why), String("en")
        loop.call_soon(conn.send_packet, MSG_DISCONNECT, *said)  # behind the door's name, which comes next
        loop.call_later(_REFUSED_SECONDS, conn.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncssh calls it so
        self._door.connections.discard(self)
        self.connection = None

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002
        """Any name will do (``git@`` by custom): who somebody is, is said by the key alone."""
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        if self.refused:
            return False
        algorithm, blob = key.export_public_key("openssh").decode("ascii").split()[:2]
        try:
            known = await asyncio.to_thread(actor_of_key, self._keys, algorithm, blob, self._address())
        except GitreceiveError:
            _log.exception("a key could not be looked up")
            return False
        _offered.set(known)
        return known is not None

    def _address(self) -> str:
        peer = self.connection.get_extra_info("peername") if self.connection else None
        return str(peer[0]) if peer else ""

    def auth_completed(self) -> None:
        """Runs in the task that checked the signature, and so sees the key of that request and of no other."""
        self.actor = _offered.get()

    def session_requested(self) -> "bool | asyncssh.SSHServerProcess[bytes]":
        """Counted from here on: many are asked for before the first is served."""
        if self.channels >= _MOST_SESSIONS:
            return False
        self.channels += 1
        return _Session(self)

    async def serve(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        await self._door.session(self, process)

    async def connection_requested(
        self,
        dest_host: str,
        dest_port: int,
        orig_host: str,  # noqa: ARG002
        orig_port: int,  # noqa: ARG002
    ) -> "asyncssh.SSHTCPSession[bytes]":
        if self.actor is None or self.channels >= _MOST_SESSIONS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many connections at once")
        self.channels += 1
        try:
            return await self._door.forwarded(self, self.actor, dest_host, dest_port)
        except BaseException:
            self.channels -= 1
            raise


class _Session(asyncssh.SSHServerProcess[bytes]):
    """A channel for a session, which counts until it is closed."""

    def __init__(self, guest: _Guest) -> None:
        super().__init__(guest.serve, None, 3, allow_scp=False)
        self._guest = guest

    def connection_made(self, chan: Any) -> None:
        hold_to_window(chan)
        super().connection_made(chan)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guest.channels -= 1
        super().connection_lost(exc)


class _Forwarded(SSHTCPStreamSession[bytes]):
    """A channel for a connection, which counts until it is closed."""

    def __init__(self, guest: _Guest, handler: Handler) -> None:
        super().__init__(handler)
        self._guest = guest

    def connection_made(self, chan: Any) -> None:
        hold_to_window(chan)
        super().connection_made(chan)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guest.channels -= 1
        super().connection_lost(exc)


# each authentication request runs in a task of its own; a value in its context cannot be mixed up with another request's
_offered: ContextVar[Actor | None] = ContextVar("offered", default=None)


def _acknowledge_at_once(connection: asyncssh.SSHServerConnection) -> None:
    """OpenSSH sends a small packet only once the one before is acknowledged (RFC 896), and the kernel waits 40 ms with that where
    it has nothing to answer: twice in each handshake. Linux takes the request back when it likes, so it is made with each read.
    """
    option = getattr(socket, "TCP_QUICKACK", None)
    reached = connection.get_extra_info("socket")
    if option is None or reached is None:
        return
    received = connection.data_received

    def promptly(data: bytes, datatype: int | None = None) -> None:
        with suppress(OSError):  # closed meanwhile, as is seen elsewhere
            reached.setsockopt(socket.IPPROTO_TCP, option, 1)
        received(data, datatype)

    connection.data_received = promptly  # type: ignore[method-assign]


def host_key(data_dir: Path) -> asyncssh.SSHKey:
    """The server's ed25519 key, made once, readable by its owner only. Raises ConfigError where it cannot be read."""
    path = data_dir / "host_key"
    try:
        if not path.exists():
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_once(path, asyncssh.generate_private_key("ssh-ed25519", comment="gitreceive"))
        return asyncssh.read_private_key(path)
    except (OSError, asyncssh.KeyImportError) as error:
        raise ConfigError(
            f"the host key {path} cannot be read: {error}",
            hint="restore it; without it clients will warn of a new host",
        ) from error


def _write_once(path: Path, key: asyncssh.SSHKey) -> None:
    """Whole or not at all; where two servers start at once, the first one's key stands."""
    new = path.with_name(f".host_key.{os.getpid()}")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.export_private_key("openssh"))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        return
    finally:
        new.unlink()
    path.with_name("host_key.pub").write_bytes(key.export_public_key("openssh"))
