"""What leads hosts to an app is taken by a real API server, and goes when another way is chosen.

The cluster of these tests has no controller for it, so no request is made by a host; and its API server falls over objects of kinds that
are added to it, so HTTPRoute and Route are held to golden files alone (tests/test_exposure.py).
"""

from collections.abc import Iterator
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
from tests.engines.stage import Stage

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="module")
def image() -> Iterator[ImageRef]:
    with python_image() as ref:
        yield ref


def test_an_ingress_is_taken_by_the_cluster_and_leaves_with_its_certificate(image: ImageRef) -> None:
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

        stage.target = target(expose="nodeport")
        stage.roll_out(release)
        assert api.get("Ingress", "web", space) is None
        assert api.list("Secret", space, "gitreceive/kind=certificate")["items"] == []
        assert {pod["metadata"]["name"] for pod in api.list("Pod", space)["items"]} == pods
        # No pod was started anew, so nothing was waited for: a node opens the port in a moment of its own.
        stage.get_eventually("v1 hello-canary", opening=True)
    finally:
        stage.target.destroy(stage.app)
