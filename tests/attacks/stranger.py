"""An SSH client that says what it is told to, in any order, once keys are exchanged (RFC 4252, RFC 4254)."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
from asyncssh.packet import Boolean, String, UInt32

GONE = 0
SERVICE_REQUEST, SERVICE_ACCEPT = 5, 6
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_PK_OK = 50, 51, 52, 60
GLOBAL_REQUEST = 80
CHANNEL_OPEN, CHANNEL_CONFIRMED, CHANNEL_DATA, CHANNEL_REQUEST = 90, 91, 94, 98
SESSION = (String(b"session"), UInt32(0), UInt32(1 << 20), UInt32(1 << 15))
_ALGORITHM = b"ssh-ed25519"


class Stranger(asyncssh.SSHClientConnection):
    """``say`` sends a message whatever has come before it; ``hear`` gives the next that came, GONE once the server has hung up."""

    def __init__(self, options: asyncssh.SSHClientConnectionOptions) -> None:
        super().__init__(asyncio.get_running_loop(), options)
        self._heard: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._ear = _Ear(self._heard)

    def process_packet(self, pkttype: int, pktid: int, packet: Any) -> Any:
        if pkttype == SERVICE_ACCEPT:  # the library's own part is over: from here on it only carries
            self._auth = self._ear  # type: ignore[assignment]
            self._auth_complete = True
            self._channels = defaultdict(lambda: self._ear)  # type: ignore[arg-type, return-value]
        if pkttype < SERVICE_REQUEST or SERVICE_ACCEPT < pkttype < USERAUTH_REQUEST:
            return super().process_packet(pkttype, pktid, packet)
        return self._ear.process_packet(pkttype, pktid, packet)

    def connection_lost(self, exc: Exception | None = None) -> None:
        self._heard.put_nowait((GONE, b""))
        super().connection_lost(exc)

    def say(self, kind: int, *parts: bytes) -> None:
        if self._transport is not None:
            self.send_packet(kind, *parts)

    async def hear(self) -> int:
        return (await self._next())[0]

    async def _next(self) -> tuple[int, bytes]:
        message = await self._heard.get()
        if message[0] == GONE:
            self._heard.put_nowait(message)  # and it stays so
        return message

    async def verdict(self) -> int:
        """The next that ends something: a refusal, a success, a channel, or that nobody is there any more."""
        ends = {GONE, USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_PK_OK, CHANNEL_CONFIRMED}
        while (kind := await self.hear()) not in ends:
            pass
        return kind

    def offer(self, key: asyncssh.SSHKey, user: bytes = b"git", blob: bytes | None = None) -> None:
        """A public key, as anybody may show one."""
        self.say(
            USERAUTH_REQUEST,
            *_request(user),
            Boolean(False),
            String(_ALGORITHM),
            String(blob or key.public_data),
        )

    def sign(
        self,
        key: asyncssh.SSHKey,
        user: bytes = b"git",
        *,
        with_key: asyncssh.SSHKey | None = None,
        session: bytes | None = None,
        signed_user: bytes | None = None,
    ) -> None:
        """A public key with a signature: its own over this session, where nothing else is said."""
        parts = (Boolean(True), String(_ALGORITHM), String(key.public_data))
        about = b"".join((*_request(signed_user or user), *parts))
        said = String(self._session_id if session is None else session) + bytes([USERAUTH_REQUEST]) + about
        signature = (with_key or key).sign(said, _ALGORITHM)
        self.say(USERAUTH_REQUEST, *_request(user), *parts, String(signature))

    async def who(self) -> str:
        """Whom the server greets."""
        self.say(CHANNEL_OPEN, *SESSION)
        if await self.verdict() != CHANNEL_CONFIRMED:
            return ""
        self.say(CHANNEL_REQUEST, UInt32(0), String(b"shell"), Boolean(True))
        while True:
            kind, content = await self._next()
            if kind == CHANNEL_DATA:
                return content.partition(b"Hello ")[2].partition(b",")[0].decode()
            if kind == GONE:
                return ""


def _request(user: bytes) -> tuple[bytes, ...]:
    return String(user), String(b"ssh-connection"), String(b"publickey")


class _Ear:
    def __init__(self, heard: "asyncio.Queue[tuple[int, bytes]]") -> None:
        self._heard = heard

    def process_packet(self, pkttype: int, _pktid: int, packet: Any) -> bool:
        self._heard.put_nowait((pkttype, packet.get_remaining_payload()))
        return True

    def log_received_packet(self, *_: object) -> None:
        return

    def process_connection_close(self, _exc: object) -> None:
        return

    def cancel(self) -> None:
        return


@asynccontextmanager
async def stranger(port: int) -> AsyncIterator[Stranger]:
    """At the place where authentication begins."""
    options = asyncssh.SSHClientConnectionOptions(
        username="git", client_keys=None, known_hosts=None, config=None, agent_path=None
    )
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Stranger(options), "127.0.0.1", port
    )
    try:
        assert await client.hear() == SERVICE_ACCEPT
        yield client
    finally:
        client.abort()
