"""How an app's web is reached from outside the cluster: which objects, with what in them. Pure: no cluster is asked.

People give hosts and certificates. Paths, rewrites and annotations are the operator's alone: on a shared controller they reach
further than the app.
"""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gitreceive.config import KubernetesSettings, Settings
from gitreceive.errors import ConfigError
from gitreceive.model import Certificate, Domain, Release, Routing

URL_ANNOTATION = "gitreceive/url"
CERTIFICATE_KIND = "certificate"  # what KIND_LABEL says of a Secret with one

_MOST_HOSTNAMES = 16  # of one HTTPRoute (Gateway API, HTTPRouteSpec)
_AUTO_SECRET = "tls-auto"  # noqa: S105  # its name in the cluster, not its content


@dataclass(frozen=True)
class Exposing:
    """What depends on what the cluster serves. The defaults are a current Kubernetes with a controller of Ingress."""

    ingress_api: str = "networking.k8s.io/v1"  # v1beta1 before 1.19
    ingress_classes: bool = True  # there is a controller
    gateway_api: str = ""  # gateway.networking.k8s.io/v1, or v1beta1; empty: not served
    gateway_timeouts: bool = False  # whether its HTTPRoute knows timeouts: since 1.2
    route_api: str = ""  # route.openshift.io/v1


Objects = tuple[tuple[str, dict[str, Any]], ...]  # template and its value


@dataclass(frozen=True)
class Exposed:
    """``url`` None: a node port's, which the cluster gives, or none."""

    service_type: str
    url: str | None
    objects: Objects


def expose(
    release: Release,
    settings: Settings,
    cluster: Exposing,
    certificates: Mapping[str, Certificate],
) -> Exposed:
    """``certificates``: those that the release's routing names. Raises ConfigError where the settings lack what their way needs."""
    routing, kubernetes = release.settings.routing, settings.kubernetes
    hosts = routing.hosts(release.app, settings.domain)
    way = _way(kubernetes, cluster, hosts)
    nodeport = way == "nodeport" or (kubernetes.expose == "auto" and not settings.domain)
    make = _WAYS.get(way)
    if make is None:
        return Exposed("NodePort" if nodeport else "ClusterIP", None, ())
    if not hosts:
        raise ConfigError(
            f"kubernetes.expose is `{way}`, and {release.app} has no host",
            hint="set domain, so that apps answer at APP.DOMAIN, or give the app one: domains add",
        )
    objects = make(hosts, routing, kubernetes, cluster, certificates)
    shown = next((host for host in hosts if not host.wildcard), None)
    url = f"{'https' if _over_tls(shown, routing, way) else 'http'}://{shown}" if shown else None
    return Exposed("NodePort" if nodeport else "ClusterIP", url, objects)


def notes(release: Release, settings: Settings, cluster: Exposing) -> Iterable[str]:
    """What people should know of what was set and does nothing here."""
    routing = release.settings.routing
    way = _way(settings.kubernetes, cluster, routing.hosts(release.app, settings.domain))
    if way in {"nodeport", "none"} and routing.domains:
        yield f"nothing leads {routing.domains[0]} to the app: no controller of Ingress is known; see kubernetes.expose"
    if way == "gateway" and (routing.certificates or routing.auto):
        yield "behind a Gateway its listeners have the certificates; those of the app are not used"


def require_hosts(settings: Settings) -> None:
    """Raises ConfigError where this server leads no host to an app, whatever is set for one."""
    if settings.target == "docker" and not (settings.docker.http_listen or settings.docker.https_listen):
        raise ConfigError(
            "this server does not route hosts: docker.http_listen is empty",
            hint="set docker.http_listen, as 0.0.0.0:80, and start the server anew",
        )
    if settings.target == "kubernetes" and settings.kubernetes.expose in {"nodeport", "none"}:
        raise ConfigError(
            f"this server does not route hosts: kubernetes.expose is `{settings.kubernetes.expose}`",
            hint="set it to auto, ingress, gateway or route, and start the server anew",
        )


def _way(kubernetes: KubernetesSettings, cluster: Exposing, hosts: tuple[Domain, ...]) -> str:
    if kubernetes.expose != "auto":
        return kubernetes.expose
    if not hosts:
        return "nodeport"
    if cluster.route_api:
        return "route"
    if kubernetes.gateway and cluster.gateway_api:
        return "gateway"
    return "ingress" if cluster.ingress_classes or kubernetes.ingress_class else "nodeport"


def _over_tls(host: str, routing: Routing, way: str) -> bool:
    if routing.https:
        return True
    return way != "gateway" and (routing.auto or routing.certificate_for(host) is not None)


# --- Ingress --------------------------------------------------------------------------------------------------------


def _ingress(
    hosts: tuple[Domain, ...],
    routing: Routing,
    kubernetes: KubernetesSettings,
    cluster: Exposing,
    certificates: Mapping[str, Certificate],
) -> Objects:
    template = "ingress" if cluster.ingress_api == "networking.k8s.io/v1" else "ingress_v1beta1"
    annotations = _ingress_annotations(routing, kubernetes)
    if template == "ingress_v1beta1" and kubernetes.ingress_class:  # it has no field for it before 1.18
        annotations["kubernetes.io/ingress.class"] = kubernetes.ingress_class
    values: dict[str, Any] = {
        "class": kubernetes.ingress_class or None,
        "annotations": annotations,
        "tls": _ingress_tls(hosts, routing) or None,
        "rules": [_rule(host, cluster.ingress_api) for host in hosts],
    }
    return (*_secrets(hosts, routing, certificates), (template, values))


def _rule(host: str, api: str) -> dict[str, Any]:
    backend: dict[str, Any] = {"service": {"name": "web", "port": {"name": "http"}}}
    if api != "networking.k8s.io/v1":
        backend = {"serviceName": "web", "servicePort": "http"}
    return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}


def _ingress_annotations(routing: Routing, kubernetes: KubernetesSettings) -> dict[str, str]:
    """Each controller reads its own and leaves the others."""
    seconds, redirect = kubernetes.request_timeout, "true" if routing.https else "false"
    known = {
        "nginx.ingress.kubernetes.io/proxy-read-timeout": str(seconds),
        "nginx.ingress.kubernetes.io/proxy-send-timeout": str(seconds),
        "nginx.ingress.kubernetes.io/proxy-body-size": "0",
        "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
        "nginx.ingress.kubernetes.io/ssl-redirect": redirect,
        "haproxy.org/timeout-server": f"{seconds}s",
        "haproxy.org/timeout-tunnel": f"{seconds}s",
        "haproxy.org/ssl-redirect": redirect,
        "haproxy-ingress.github.io/timeout-server": f"{seconds}s",
        "haproxy-ingress.github.io/timeout-tunnel": f"{seconds}s",
        "haproxy-ingress.github.io/ssl-redirect": redirect,
    }
    return (
        known
        | _issuer(routing, kubernetes, "cert-manager.io/cluster-issuer")
        | kubernetes.ingress_annotations
    )


def _issuer(routing: Routing, kubernetes: KubernetesSettings, annotation: str) -> dict[str, str]:
    if not routing.auto:
        return {}
    if not kubernetes.cert_issuer:
        raise ConfigError(
            "no certificates can be obtained here: kubernetes.cert_issuer is empty",
            hint="install cert-manager and name its ClusterIssuer there, or bring one: certs add",
        )
    return {annotation: kubernetes.cert_issuer}


def _ingress_tls(hosts: Iterable[Domain], routing: Routing) -> list[dict[str, Any]]:
    """By Secret. Where HTTPS is asked for and nothing is brought, the controller's own certificate is taken: an entry without a Secret."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        fingerprint = routing.certificate_for(host)
        if fingerprint:
            found.setdefault(_secret_name(fingerprint), []).append(host)
        elif routing.auto:
            found.setdefault(_AUTO_SECRET, []).append(host)
        elif routing.https:
            found.setdefault("", []).append(host)
    return [
        {"hosts": names, "secretName": secret} if secret else {"hosts": names}
        for secret, names in found.items()
    ]


def _secrets(hosts: Iterable[Domain], routing: Routing, certificates: Mapping[str, Certificate]) -> Objects:
    used = {name for host in hosts if (name := routing.certificate_for(host))}
    return tuple(
        (
            "certificate",
            {
                "name": _secret_name(name),
                "data": {
                    "tls.crt": _base64(certificates[name].chain),
                    "tls.key": _base64(certificates[name].key.reveal()),
                },
            },
        )
        for name in sorted(used)
    )


def _secret_name(fingerprint: str) -> str:
    return f"tls-{fingerprint[:16]}"


# --- Gateway API ----------------------------------------------------------------------------------------------------


def _gateway(
    hosts: tuple[Domain, ...],
    routing: Routing,
    kubernetes: KubernetesSettings,
    cluster: Exposing,
    _certificates: Mapping[str, Certificate],
) -> Objects:
    """Certificates are the Gateway's listeners'. With ``https`` the plain listener only sends on to the other."""
    api = cluster.gateway_api or "gateway.networking.k8s.io/v1"
    timeout = f"{kubernetes.request_timeout}s"
    serve: dict[str, Any] = {"backendRefs": [{"name": "web", "port": 80}]}
    if cluster.gateway_timeouts:
        serve["timeouts"] = {"request": timeout, "backendRequest": timeout}
    to_https = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}
    made: list[tuple[str, dict[str, Any]]] = []
    for number, begin in enumerate(range(0, len(hosts), _MOST_HOSTNAMES), 1):
        names = hosts[begin : begin + _MOST_HOSTNAMES]
        suffix = f"-{number}" if number > 1 else ""
        listener = kubernetes.gateway_https if routing.https else None
        made.append(_http_route(f"web{suffix}", api, names, _parent(kubernetes, listener), serve))
        if routing.https:
            plain = _parent(kubernetes, kubernetes.gateway_http)
            made.append(_http_route(f"web-redirect{suffix}", api, names, plain, {"filters": [to_https]}))
    return tuple(made)


def _http_route(
    name: str, api: str, hosts: tuple[Domain, ...], parent: dict[str, Any], rule: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    values = {"name": name, "api": api, "hosts": list(hosts), "parents": [parent], "rules": [rule]}
    return "http_route", values


def _parent(kubernetes: KubernetesSettings, listener: str | None) -> dict[str, Any]:
    space, slash, name = kubernetes.gateway.partition("/")
    if not slash or not space or not name:
        raise ConfigError(
            f"kubernetes.gateway is {kubernetes.gateway!r}", hint="write the Gateway's NAMESPACE/NAME"
        )
    reference = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": space, "name": name}
    return reference | ({"sectionName": listener} if listener else {})


# --- OpenShift ------------------------------------------------------------------------------------------------------


def _route(
    hosts: tuple[Domain, ...],
    routing: Routing,
    kubernetes: KubernetesSettings,
    cluster: Exposing,
    certificates: Mapping[str, Certificate],
) -> Objects:
    timeout = f"{kubernetes.request_timeout}s"
    annotations = {
        "haproxy.router.openshift.io/timeout": timeout,
        "haproxy.router.openshift.io/timeout-tunnel": timeout,
    }
    if routing.auto:
        annotations["cert-manager.io/issuer-kind"] = "ClusterIssuer"
    annotations |= _issuer(routing, kubernetes, "cert-manager.io/issuer-name")
    return tuple(
        (
            "route",
            {
                "name": f"web-{hashlib.sha256(host.encode()).hexdigest()[:10]}",
                "api": cluster.route_api or "route.openshift.io/v1",
                "annotations": annotations | kubernetes.ingress_annotations,
                # a wildcard is written as some host below it
                "host": f"wildcard{host[1:]}" if host.wildcard else host,
                "wildcard": "Subdomain" if host.wildcard else "None",
                "tls": _route_tls(host, routing, certificates),
            },
        )
        for host in hosts
    )


def _route_tls(host: str, routing: Routing, certificates: Mapping[str, Certificate]) -> dict[str, str] | None:
    """None: plain HTTP alone. Without a certificate in it, the router's own is taken."""
    fingerprint = routing.certificate_for(host)
    if not fingerprint and not routing.https and not routing.auto:
        return None
    tls = {
        "termination": "edge",
        "insecureEdgeTerminationPolicy": "Redirect" if routing.https else "Allow",
    }
    if fingerprint:
        tls |= {
            "certificate": certificates[fingerprint].chain,
            "key": certificates[fingerprint].key.reveal(),
        }
    return tls


_WAYS: dict[str, Callable[..., Objects]] = {"ingress": _ingress, "gateway": _gateway, "route": _route}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
