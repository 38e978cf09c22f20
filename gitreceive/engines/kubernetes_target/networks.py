"""Where in the cluster's networks its pods and its API are."""

from collections.abc import Iterator

from gitreceive.config import KubernetesSettings
from gitreceive.engines.kubernetes_target.ways import Asked
from gitreceive.manifests.network_policy import NONE, STRICT, Networks
from gitreceive.manifests.templating import Manifest


def read_networks(api: Asked, settings: KubernetesSettings) -> Networks:
    """As far as the policy has to name them. What the cluster does not say of pods is in ``kubernetes.pod_networks``, or not known."""
    if settings.network_policy == NONE:
        return Networks()
    pods = settings.pod_networks or _pod_networks(api.list("Node"))
    return Networks(pods, _api_servers(api) if settings.network_policy == STRICT else ())


def _pod_networks(nodes: Manifest) -> tuple[str, ...]:
    found: set[str] = set()
    for node in nodes["items"]:
        spec = node.get("spec", {})
        found.update(spec.get("podCIDRs") or filter(None, [spec.get("podCIDR")]))
    return tuple(sorted(found))


def _api_servers(api: Asked) -> tuple[str, ...]:
    """Its Service, and where that leads: some networks look at the one and some at the other."""
    service = api.get("Service", "kubernetes", "default") or {}
    endpoints = api.get("Endpoints", "kubernetes", "default") or {}
    return tuple(sorted({*_cluster_addresses(service), *_endpoint_addresses(endpoints)}))


def _cluster_addresses(service: Manifest) -> Iterator[str]:
    spec = service.get("spec", {})
    yield from spec.get("clusterIPs") or filter(None, [spec.get("clusterIP")])


def _endpoint_addresses(endpoints: Manifest) -> Iterator[str]:
    for subset in endpoints.get("subsets") or ():
        for address in subset.get("addresses") or ():
            yield address["ip"]
