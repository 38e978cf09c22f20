"""By which ways a cluster can lead people to an app, as it says itself."""

from typing import Any

from gitreceive.engines.kubernetes_target.ways import ways
from gitreceive.errors import RolloutError
from gitreceive.manifests.exposure import Exposing


class Cluster:
    """Serves these kinds, the newest version of each; what is None may not be looked at."""

    def __init__(
        self, served: dict[str, str], classes: list[str] | None, schema: dict[str, Any] | None = None
    ) -> None:
        self._served, self._classes, self._schema = served, classes, schema

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        if self._schema is None:
            raise RolloutError("forbidden")
        assert (kind, name) == ("CustomResourceDefinition", "httproutes.gateway.networking.k8s.io")
        return {"spec": {"versions": [{"name": "v1beta1"}, {"name": "v1", "schema": self._schema}]}}

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> dict[str, Any]:
        if self._classes is None:
            raise RolloutError("forbidden")
        return {"items": self._classes}

    def serves(self, kind: str) -> bool:
        return kind in self._served

    def api_version(self, kind: str) -> str:
        return self._served[kind]


INGRESS = {"Ingress": "networking.k8s.io/v1"}
GATEWAY = {**INGRESS, "HTTPRoute": "gateway.networking.k8s.io/v1"}


def test_a_cluster_without_a_controller_has_none() -> None:
    assert ways(Cluster(INGRESS, [])) == Exposing(ingress_classes=False)
    assert ways(Cluster(INGRESS, ["nginx"])) == Exposing()


def test_what_it_may_not_look_at_it_does_not_count_on() -> None:
    found = ways(Cluster(GATEWAY, None))
    assert (found.ingress_classes, found.gateway_api, found.gateway_timeouts) == (
        False,
        "gateway.networking.k8s.io/v1",
        False,
    )


def test_timeouts_are_asked_for_where_the_version_that_is_spoken_has_them() -> None:
    assert ways(Cluster(GATEWAY, [], {"properties": {"timeouts": {}}})).gateway_timeouts
    assert not ways(Cluster(GATEWAY, [], {"properties": {}})).gateway_timeouts
    older = {**INGRESS, "HTTPRoute": "gateway.networking.k8s.io/v1beta1"}
    assert not ways(Cluster(older, [], {"properties": {"timeouts": {}}})).gateway_timeouts


def test_openshift_is_known_by_its_route() -> None:
    assert (
        ways(Cluster({**INGRESS, "Route": "route.openshift.io/v1"}, [])).route_api == "route.openshift.io/v1"
    )
