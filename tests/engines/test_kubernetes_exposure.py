"""What leads hosts to an app is taken by a real API server, and goes when another way is chosen.

The cluster of these tests has no controller for any of it, so no request is made by a host. It gets the kinds of the Gateway API and of
OpenShift for the time of a test, with as much of their schema as is written here.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gitreceive.certificates import read_certificate
from gitreceive.config import KubernetesSettings, Settings
from gitreceive.engines.kubernetes_target import KubernetesTarget
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.model import AppSettings, Certificate, Domain, ImageRef, Routing
from tests.certificates import issue
from tests.engines.images import python_image
from tests.engines.target_contract import Stage

pytestmark = pytest.mark.kubernetes

_ANY: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture(scope="module")
def image() -> Iterator[ImageRef]:
    with python_image() as ref:
        yield ref


def _rule(*fields: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"x-kubernetes-preserve-unknown-fields": True} for name in fields},
    }


@contextmanager
def _served(api: Api, group: str, kind: str, plural: str, spec: dict[str, Any]) -> Iterator[None]:
    name = f"{plural}.{group}"
    schema = {"type": "object", "properties": {"spec": spec}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
    api.create(definition)
    try:
        end = time.monotonic() + 30
        while not Api().serves(kind):
            assert time.monotonic() < end, f"{kind} is not served"
            time.sleep(0.2)
        time.sleep(1)  # what is listed is served a moment later
        yield
    finally:
        api.delete("CustomResourceDefinition", name)


def test_each_way_is_taken_by_the_cluster_and_leaves_with_its_last_object(image: ImageRef) -> None:
    issued = issue("shop.test")
    brought = read_certificate(issued.pem + issued.key_pem, datetime.now(UTC))
    routing = Routing(
        (Domain("*.shops.test"), Domain("shop.test")),
        https=True,
        certificates={brought.fingerprint: brought.facts},
    )

    def target(**kubernetes: Any) -> KubernetesTarget:
        def bring(_app: object, fingerprint: str) -> Certificate:
            assert fingerprint == brought.fingerprint
            return brought

        small = KubernetesSettings(deadline=60, memory="128Mi", cpu="20m", **kubernetes)
        return KubernetesTarget(Settings(domain="apps.test", kubernetes=small), lambda: None, bring)

    api = Api()
    stage = Stage(target(expose="ingress"), image)
    space = f"app-{stage.app}"
    release = replace(stage.release(1), settings=AppSettings(routing=routing))
    try:
        stage.roll_out(release)
        assert stage.target.url(stage.app) == f"https://{stage.app}.apps.test"
        ingress = api.get("Ingress", "web", space)
        assert ingress
        hosts = [f"{stage.app}.apps.test", "*.shops.test", "shop.test"]
        assert [rule["host"] for rule in ingress["spec"]["rules"]] == hosts
        assert ingress["spec"]["tls"][1] == {
            "hosts": ["shop.test"],
            "secretName": f"tls-{brought.fingerprint[:16]}",
        }
        kept = api.list("Secret", space, "gitreceive/kind=certificate")["items"]
        assert [(each["type"], sorted(each["data"])) for each in kept] == [
            ("kubernetes.io/tls", ["tls.crt", "tls.key"])
        ]
        pods = {pod["metadata"]["name"] for pod in api.list("Pod", space)["items"]}

        rules = {"type": "array", "items": _rule("backendRefs", "filters", "timeouts")}
        gateway = {
            "type": "object",
            "properties": {**_rule("parentRefs", "hostnames")["properties"], "rules": rules},
        }
        with _served(api, "gateway.networking.k8s.io", "HTTPRoute", "httproutes", gateway):
            stage.target = target(gateway="edge/public")
            stage.roll_out(release)
            routes = {
                item["metadata"]["name"]: item["spec"] for item in Api().list("HTTPRoute", space)["items"]
            }
            assert routes["web"]["hostnames"] == hosts
            assert routes["web"]["rules"][0]["timeouts"]["request"] == "3600s"
            assert routes["web-redirect"]["parentRefs"][0]["sectionName"] == "http"
            assert api.get("Ingress", "web", space) is None
            assert api.list("Secret", space, "gitreceive/kind=certificate")["items"] == []
            assert b"its listeners have the certificates" in stage.said

        with _served(api, "route.openshift.io", "Route", "routes", _ANY):
            stage.target = target()
            stage.roll_out(release)
            found = {item["spec"]["host"]: item["spec"] for item in Api().list("Route", space)["items"]}
            assert set(found) == {f"{stage.app}.apps.test", "wildcard.shops.test", "shop.test"}
            assert found["shop.test"]["tls"]["insecureEdgeTerminationPolicy"] == "Redirect"
            assert found["shop.test"]["tls"]["certificate"] == brought.chain
            stage.target = target(expose="nodeport")
            stage.roll_out(release)
            assert Api().list("Route", space)["items"] == []

        assert {pod["metadata"]["name"] for pod in api.list("Pod", space)["items"]} == pods
        assert stage.get() == "v1 hello-canary"
    finally:
        stage.target.destroy(stage.app)
