"""What leads hosts to an app, on a cluster that serves Gateway API and OpenShift's routes: found out, taken as it is sent, and gone again.

Nothing runs on this cluster, so no release is rolled out: what one is made of is applied by the same code.
"""

from typing import Any

import pytest

from gitreceive.config import KubernetesSettings, Settings
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.rollout import claim_namespace, remove_surplus
from gitreceive.manifests.rendering import render
from gitreceive.manifests.templating import Manifest
from gitreceive.model import Routing
from tests.own_cluster.aggregated_api import AggregatedApi
from tests.own_cluster.played_operators import PlayedOperators
from tests.test_exposure import BROUGHT, FULL, PLAIN, a_routed

pytestmark = pytest.mark.kubernetes
_ISSUED = Routing(PLAIN.domains, auto=True)
_SUPPORT = {"Namespace", "ServiceAccount", "Secret", "Service"}


def applied(api: Api, routing: Routing, **kubernetes: Any) -> tuple[Manifest, ...]:
    """Which is all of a release but what would run."""
    settings = Settings(domain="apps.example.com", kubernetes=KubernetesSettings(**kubernetes))
    brought = {BROUGHT.fingerprint: BROUGHT} if routing.certificates else {}
    objects = render(a_routed(routing), settings, api.facts(), None, brought)
    objects = tuple(item for item in objects if item["kind"] in {*_SUPPORT, "HTTPRoute", "Route", "Ingress"})
    claim_namespace(api, objects[0])
    for item in objects[1:]:
        api.apply(item)
    return objects


@pytest.mark.parametrize(
    ("kind", "routing", "settings"),
    [
        ("HTTPRoute", PLAIN, {"expose": "gateway", "gateway": "edge/public"}),
        ("HTTPRoute", FULL, {"expose": "gateway", "gateway": "edge/public", "gateway_https": "tls"}),
        ("Route", FULL, {"expose": "auto"}),
        ("Route", _ISSUED, {"expose": "auto", "cert_issuer": "letsencrypt"}),
    ],
    ids=["gateway", "gateway-https", "route", "route-cert-manager"],
)
def test_it_arrives_as_it_is_sent_and_leaves_with_another_way(
    cluster: AggregatedApi,
    operators: PlayedOperators,
    kind: str,
    routing: Routing,
    settings: dict[str, Any],
) -> None:
    api = Api()
    exposing = api.facts().exposing
    assert (exposing.gateway_api, exposing.route_api) == (
        *("gateway.networking.k8s.io/v1", "route.openshift.io/v1"),
    )
    wanted = [item for item in applied(api, routing, **settings) if item["kind"] == kind]
    assert wanted
    assert cluster.sent == wanted
    for item in wanted:
        kept = api.get(kind, item["metadata"]["name"], "app-shop")
        assert kept
        assert kept["spec"] == item["spec"]
        assert kept["metadata"].get("annotations") == item["metadata"].get("annotations")
    if routing.auto:
        assert wanted[0]["metadata"]["annotations"]["cert-manager.io/issuer-name"] == "letsencrypt"

    others = applied(api, routing, expose="nodeport")
    remove_surplus(api, "app-shop", others)
    assert cluster.objects == {}
    assert api.get("Service", "web", "app-shop")


def test_cert_manager_is_asked_by_an_annotation_that_the_cluster_keeps(operators: PlayedOperators) -> None:
    api = Api()
    (wanted,) = (
        item
        for item in applied(api, _ISSUED, expose="ingress", cert_issuer="letsencrypt")
        if item["kind"] == "Ingress"
    )
    kept = api.get("Ingress", "web", "app-shop")
    assert kept
    assert kept["metadata"]["annotations"] == wanted["metadata"]["annotations"]
    assert kept["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert kept["spec"]["tls"] == wanted["spec"]["tls"]
