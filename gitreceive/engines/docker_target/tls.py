"""TLS by the host that the client names (SNI, RFC 6066)."""

import os
import ssl
from collections.abc import Callable, Mapping

from gitreceive.errors import ConfigError, GitreceiveError
from gitreceive.model import Certificate, Domain

Find = Callable[[str], ssl.SSLContext | None]  # by host


def door_context(find: Find) -> ssl.SSLContext:
    """For a listener whose certificates may change at any time. Whoever names no host that has one gets no connection."""
    context = _server_context()

    def choose(connection: ssl.SSLObject, host: str | None, _context: ssl.SSLContext) -> int | None:
        found = find(host.lower()) if host else None
        if found is None:
            return int(ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        connection.context = found
        return None

    context.sni_callback = choose
    return context


class Contexts:
    """Made once for each certificate."""

    def __init__(self) -> None:
        self._made: dict[str, ssl.SSLContext] = {}

    def by_host(
        self,
        wanted: Mapping[Domain, str],
        certificate: Callable[[str], Certificate],
        failed: Callable[[str, GitreceiveError], object],
    ) -> Mapping[str, ssl.SSLContext]:
        """``wanted``: host to fingerprint. What is not wanted any more is forgotten; what cannot be had or served is told, and left out."""
        made = {}
        for fingerprint in set(wanted.values()):
            try:
                made[fingerprint] = self._made.get(fingerprint) or _context(certificate(fingerprint))
            except GitreceiveError as error:
                failed(fingerprint, error)
        self._made = made
        return {host: made[fingerprint] for host, fingerprint in wanted.items() if fingerprint in made}


def _context(certificate: Certificate) -> ssl.SSLContext:
    """The ssl module reads files only: one in memory, so that the key never lies on the disk."""
    context = _server_context()
    with os.fdopen(os.memfd_create("certificate"), "wb") as file:
        file.write(f"{certificate.chain}{certificate.key.reveal()}".encode())
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(
                f"the certificate {certificate.fingerprint[:12]} cannot be served: {error}",
                hint="bring another one",
            ) from error
    return context


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
