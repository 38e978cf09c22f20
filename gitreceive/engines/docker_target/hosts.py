"""Which host leads where, from what was set for each app."""

import logging
from collections.abc import Mapping

from gitreceive.config import DockerSettings, parse_listen
from gitreceive.engines.docker_target.router import Table, Way
from gitreceive.engines.docker_target.routes import Routes
from gitreceive.engines.docker_target.tls import Contexts
from gitreceive.errors import GitreceiveError
from gitreceive.model import AppName, Certificate, Domain, Routing
from gitreceive.ports import CertificateSource

_log = logging.getLogger(__name__)


class Hosts:
    """``domain``: the server's own, or empty."""

    def __init__(self, routes: Routes, domain: str, certificates: CertificateSource) -> None:
        self._routes = routes
        self._domain = domain
        self._certificates = certificates
        self._contexts = Contexts()
        self._told: frozenset[str] = frozenset()
        self._last: Mapping[AppName, Routing] | None = None

    def table(self) -> Table | None:
        """None where nothing has changed since it was last asked for. Raises UnavailableError where a record cannot be read."""
        found = self._routes.all()
        if found == self._last:
            return None
        ways: dict[str, Way] = {}
        wanted: dict[Domain, str] = {}
        owners: dict[str, AppName] = {}
        for app, routing in found.items():
            for host in routing.hosts(app, self._domain):
                fingerprint = routing.certificate_for(host)
                ways[host] = Way(app, https=routing.https and fingerprint is not None)
                if fingerprint:
                    wanted[host], owners[fingerprint] = fingerprint, app

        def bring(fingerprint: str) -> Certificate:
            return self._certificates(owners[fingerprint], fingerprint)

        failed: list[str] = []

        def complain(fingerprint: str, error: GitreceiveError) -> None:
            """One certificate that cannot be served is no reason to leave the other hosts unserved."""
            failed.append(fingerprint)
            if fingerprint not in self._told:
                _log.warning("the certificate %s is not served: %s", fingerprint[:12], error)

        contexts = self._contexts.by_host(wanted, bring, complain)
        self._told = frozenset(failed)
        self._last = None if failed else found  # it may be had the next time
        return Table(ways, contexts)


def url(routing: Routing, app: AppName, domain: str, settings: DockerSettings) -> str | None:
    """Where the app answers by its host; None where hosts are not routed, or it has none but wildcards."""
    host = next((name for name in routing.hosts(app, domain) if not name.wildcard), None)
    secure = bool(settings.https_listen and host and routing.certificate_for(host))
    listen = settings.https_listen if secure else settings.http_listen
    if host is None or not listen:
        return None
    port = parse_listen(listen)[1]
    shown = "" if port == (443 if secure else 80) else f":{port}"
    return f"{'https' if secure else 'http'}://{host}{shown}"
