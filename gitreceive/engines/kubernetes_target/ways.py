"""By which ways this cluster can lead people to an app."""

import json
from typing import Protocol

from gitreceive.errors import RolloutError
from gitreceive.manifests.exposure import Exposing
from gitreceive.manifests.templating import Manifest

_ROUTES = "httproutes.gateway.networking.k8s.io"


class Asked(Protocol):
    """Of the API."""

    def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None: ...

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> Manifest: ...

    def serves(self, kind: str) -> bool: ...

    def api_version(self, kind: str) -> str: ...


def ways(api: Asked) -> Exposing:
    return Exposing(
        ingress_api=api.api_version("Ingress"),
        ingress_classes=_has_ingress_classes(api),
        gateway_api=api.api_version("HTTPRoute") if api.serves("HTTPRoute") else "",
        gateway_timeouts=api.serves("HTTPRoute") and _knows_timeouts(api),
        route_api=api.api_version("Route") if api.serves("Route") else "",
    )


def _has_ingress_classes(api: Asked) -> bool:
    try:
        return bool(api.list("IngressClass")["items"])
    except RolloutError:  # it is older than 1.18, or we may not look: `doctor` tells the latter
        return False


def _knows_timeouts(api: Asked) -> bool:
    """Whether this cluster's HTTPRoute has them: what is not in its schema is refused."""
    try:
        found = api.get("CustomResourceDefinition", _ROUTES) or {}
    except RolloutError:  # we may not look: `doctor` tells it
        return False
    version = api.api_version("HTTPRoute").rpartition("/")[2]
    wanted = [each for each in found.get("spec", {}).get("versions", []) if each["name"] == version]
    return any('"timeouts"' in json.dumps(each.get("schema")) for each in wanted)
