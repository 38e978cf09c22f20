"""The HTTP listener: plain or TLS, directly or behind proxies. Clients that only sit there are sent away."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gitreceive.addresses import is_within, network_of
from gitreceive.config import Settings, parse_listen
from gitreceive.config.limits import LimitSettings
from gitreceive.errors import ConfigError, cause

_BACKLOG = 512
_PATIENCE = 3  # seconds that open requests get when the server stops
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Times:
    """In seconds."""

    head: float = 30.0  # in which a client must have said what it wants
    looks: int = 30  # between two looks at the certificate


class HttpListener:
    """Open from ``open`` to ``close``."""

    def __init__(
        self,
        settings: Settings,
        app: ASGIApp,
        times: Times | None = None,
        name: str = "GITRECEIVE_HTTP_LISTEN",
    ) -> None:
        """At ``settings.http_listen``, which is another setting's value where ``name`` says so."""
        self._settings = settings
        self._name = name
        self._app = app
        self._times = times or Times()
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises ConfigError where the address cannot be listened on, or a setting is wrong."""
        _check_url(self._settings.public_url)
        certificate = _Certificate(self._settings) if self._settings.http.certificate else None
        self._socket = _listen(self._settings.http_listen, self._name)
        self._server = _Server(_config(self._settings, self._app, certificate, self._times))
        if certificate:
            self._server.config.load()
            self._server.config.ssl = certificate.context
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    @property
    def port(self) -> int:
        """The port that it is, also where the setting says 0."""
        return int(self._socket.getsockname()[1]) if self._socket else 0

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections) if self._server else 0

    async def ended(self) -> None:
        """Returns only by what has gone wrong, which it raises."""
        if self._serving:
            await asyncio.shield(self._serving)

    async def close(self) -> None:
        """Take no more connections; requests that are open get a few seconds."""
        if self._server and self._serving:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)


class _Server(uvicorn.Server):
    """Served within a running loop. Signals are the process's, not its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(
    settings: Settings, app: ASGIApp, certificate: "_Certificate | None", times: Times
) -> uvicorn.Config:
    proxies = list(settings.http.trusted_proxies)
    return uvicorn.Config(
        app,
        http=type(
            "Bounded",
            (_BoundedProtocol,),
            {"head": times.head, "limits": settings.limits, "proxies": proxies},
        ),
        loop="none",
        lifespan="off",
        ws="none",
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_graceful_shutdown=_PATIENCE,
        timeout_notify=times.looks,
        callback_notify=certificate.renew if certificate else None,
        backlog=_BACKLOG,
    )


class _BoundedProtocol(H11Protocol):
    """One connection. Between requests the server's own limit holds; from the first byte of one to the end of its head, this one."""

    head: float
    limits: LimitSettings
    proxies: list[str]
    network = ""
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        self.network = "" if is_within(address, self.proxies) else network_of(address)
        if full := self._full():
            _log.warning("a connection from %s is refused: %s", address, full)
            transport.write(_refusal(full))
            transport.close()
            return
        self._late = self.loop.call_later(self.head, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._late is None and self._idle:
            self._late = self.loop.call_later(self.head, self.transport.abort)
        super().data_received(data)
        if not self._idle:
            self._on_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_time()
        super().connection_lost(exc)

    def _full(self) -> str:
        """Why this connection, which is among those that are open by now, is not served; empty where it is."""
        if len(self.connections) > self.limits.connections:
            return "the server has too many connections"
        most = self.limits.address_connections
        others = (getattr(other, "network", "") for other in self.connections)
        if self.network and sum(other == self.network for other in others) > most:
            return f"{self.network} has {most} connections already"
        return ""

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _on_time(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None


def _refusal(full: str) -> bytes:
    text = f"{full}; try again in a minute\n".encode()
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 30\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)
    )


class _Certificate:
    """What is shown to clients from now on, as it is in the files by now."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigError where it cannot be read."""
        self._certificate = Path(settings.http.certificate)
        self._key = Path(settings.http.key or settings.http.certificate)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._changed()
        try:
            self.context.load_cert_chain(self._certificate, self._key)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the certificate {self._certificate} and its key {self._key} cannot be used: {cause(error)}",
                hint="http.certificate and http.key name PEM files of one pair, the key without a passphrase",
            ) from error

    async def renew(self) -> None:
        """An older one stands until a newer one is whole."""
        changed = self._changed()
        if changed == self._seen:
            return
        self._seen = changed
        try:
            self.context.load_cert_chain(self._certificate, self._key)
        except (OSError, ValueError) as error:
            _log.warning("the new certificate %s cannot be used yet: %s", self._certificate, cause(error))

    def _changed(self) -> tuple[float, ...]:
        with suppress(OSError):
            return tuple(path.stat().st_mtime for path in (self._certificate, self._key))
        return ()


def _listen(address: str, name: str) -> socket.socket:
    host, port = parse_listen(address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"{address} cannot be listened on: {error.strerror or error}",
            hint=f"stop what listens there, or set {name}",
        ) from error


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ConfigError(f"public_url is {url!r}", hint="write https://HOST, with its port where it has one")
