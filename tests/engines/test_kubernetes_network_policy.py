"""A NetworkPolicy is taken by a real API server, and goes when it is not asked for any more. This cluster's network enforces none."""

from collections.abc import Iterator

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import KubernetesSettings, Settings
from gitreceive.engines.kubernetes_target import KubernetesTarget
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.model import ImageRef, ProcessType
from gitreceive.voice import Voice
from tests.engines.images import python_image
from tests.engines.stage import Stage

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="module")
def image() -> Iterator[ImageRef]:
    with python_image() as ref:
        yield ref


def target(policy: str) -> KubernetesTarget:
    small = KubernetesSettings(deadline=60, memory="128Mi", cpu="20m", network_policy=policy)
    return KubernetesTarget(Settings(kubernetes=small), lambda: None)


def test_a_policy_is_there_before_the_first_pod_and_leaves_when_it_is_not_set(image: ImageRef) -> None:
    api = Api()
    stage = Stage(target("strict"), image)
    space, release = f"app-{stage.app}", stage.release(1)
    try:
        command = ProcessType("release", ("python3", "-c", "pass"))
        assert stage.target.run_once(release, command, Voice(lambda _: None), Cancellation()) == 0
        policy = api.get("NetworkPolicy", "app", space)
        assert policy
        first, names = policy["spec"]["egress"]
        assert {each["port"] for each in names["ports"]} == {53}
        excepted = {e for peer in first["to"] for e in peer.get("ipBlock", {}).get("except", ())}
        service = api.get("Service", "kubernetes", "default")
        assert service
        pods = {cidr for node in api.list("Node")["items"] for cidr in node["spec"].get("podCIDRs", ())}
        assert {f"{service['spec']['clusterIP']}/32", "169.254.0.0/16", *pods} <= excepted

        stage.roll_out(release)
        assert api.get("NetworkPolicy", "app", space)["spec"] == policy["spec"]  # type: ignore[index]
        stage.target = target("none")
        stage.roll_out(release)
        assert api.get("NetworkPolicy", "app", space) is None
        assert stage.get() == "v1 hello-canary"
    finally:
        stage.target.destroy(stage.app)
