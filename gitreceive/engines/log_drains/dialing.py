"""Connections to receivers that users name, and to nothing that is not public unless an operator allows it."""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gitreceive.addresses import Address, is_public
from gitreceive.errors import ConfigError, ForbiddenError, UnavailableError, cause

_CONNECT_SECONDS = 10.0
_SEND_SECONDS = 20.0
_UNACKNOWLEDGED_MILLISECONDS = 30_000  # after which a connection is given up (RFC 5482)
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def allowed_networks(private: Sequence[str]) -> Callable[[Address], bool]:
    """Which addresses may be reached: public ones, and those in the networks of ``drains.private``. Raises ConfigError."""
    if "any" in private:
        return lambda _: True
    try:
        networks = [ipaddress.ip_network(text, strict=False) for text in private]
    except ValueError as error:
        raise ConfigError(
            f"drains.private is malformed: {error}", hint="list networks such as 10.2.0.0/16, or any"
        ) from error
    return lambda address: is_public(address) or any(address in network for network in networks)


def forbidden(host: str, why: str) -> ForbiddenError:
    return ForbiddenError(
        f"log drains do not reach {host}: it {why}",
        hint="an administrator can list its network in drains.private",
    )


class Dialer:
    """Each connection is made to an address that was looked at."""

    def __init__(
        self, allowed: Callable[[Address], bool], environment: Mapping[str, str], ca_bundle: str
    ) -> None:
        """``environment`` may name certificate authorities. Raises ConfigError where ``ca_bundle`` cannot be read."""
        self._allowed = allowed
        named = (environment.get(name) for name in _CA_VARIABLES)
        self._context = ssl.create_default_context(
            cafile=next((name for name in named if name and Path(name).is_file()), None)
        )
        if ca_bundle:
            try:
                self._context.load_verify_locations(ca_bundle)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"drains.ca_bundle {ca_bundle} cannot be read: {error}", hint="name a PEM file"
                ) from error

    def connect(self, host: str, port: int, *, tls: bool) -> socket.socket:
        """Raises ForbiddenError, UnavailableError."""
        failure: OSError | None = None
        for address in self.addresses(host, port):
            try:
                plain = socket.create_connection((str(address), port), timeout=_CONNECT_SECONDS)
            except OSError as error:
                failure = error
                continue
            return self._secured(plain, host, port) if tls else _ready(plain)
        why = cause(failure) if failure else "it has no address"
        raise UnavailableError(
            f"the log drain {host}:{port} cannot be reached: {why}", hint="see that the receiver runs"
        )

    def addresses(self, host: str, port: int) -> list[Address]:
        """All of the name's. Raises ForbiddenError unless all may be reached, UnavailableError."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnavailableError(f"the log drain's host {host} is not found: {cause(error)}") from error
        written = dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found)
        addresses = [ipaddress.ip_address(one) for one in written]
        if not all(self._allowed(address) for address in addresses):
            raise forbidden(host, "has a private address")
        return addresses

    def _secured(self, plain: socket.socket, host: str, port: int) -> socket.socket:
        try:
            return _ready(self._context.wrap_socket(plain, server_hostname=host))
        except (OSError, ValueError) as error:
            plain.close()
            why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else cause(error)
            raise UnavailableError(
                f"the log drain {host}:{port} is not trusted or speaks no TLS: {why}",
                hint="its certificate must be for that name; drains.ca_bundle adds authorities",
            ) from error


def _ready(connected: socket.socket) -> socket.socket:
    connected.settimeout(_SEND_SECONDS)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MILLISECONDS)
    return connected
