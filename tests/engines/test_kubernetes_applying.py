"""What a cluster that keeps emptied probes is told, without a cluster."""

from typing import Any

import pytest

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.rollout import _apply_deployment
from gitreceive.errors import RolloutError
from gitreceive.manifests.templating import Manifest

_REFUSED = 'the cluster refused it: Deployment.apps "web" is invalid: startupProbe: Required value: must specify a handler type'


class _OldCluster(Api):
    """Refuses the first time."""

    def __init__(self, said: str) -> None:
        super().__init__()
        self._said = said
        self.asked: list[tuple[str, Any]] = []

    def apply(self, item: Manifest, kind: str = "") -> Manifest:
        self.asked.append(("apply", item))
        if len(self.asked) == 1:
            raise RolloutError(self._said)
        return item

    def _path(self, kind: str, name: str | None, namespace: str | None) -> str:
        return f"{kind}/{namespace}/{name}"

    def _call(
        self, method: str, path: str, query: Any = None, body: Any = None, **more: Any
    ) -> Manifest | None:
        self.asked.append((f"{method} {path} {more['patch']}", body))
        return {}


def a_deployment() -> Manifest:
    pod = {"containers": [{"name": "web", "image": "x", "readinessProbe": {"tcpSocket": {"port": 1}}}]}
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "app-shop"},
        "spec": {"template": {"spec": pod}},
    }


def test_a_probe_that_goes_is_taken_away_and_the_rest_applied_once_more() -> None:
    cluster, item = _OldCluster(_REFUSED), a_deployment()
    assert _apply_deployment(cluster, item) == item
    (_, first), (how, body), (_, last) = cluster.asked
    assert first == last == item
    assert how == "PATCH Deployment/app-shop/web application/strategic-merge-patch+json"
    assert body["spec"]["template"]["spec"]["containers"] == [
        {"name": "web", "startupProbe": None, "livenessProbe": None}
    ]


def test_any_other_refusal_is_told() -> None:
    cluster = _OldCluster("the cluster refused it: quota")
    with pytest.raises(RolloutError, match="quota"):
        _apply_deployment(cluster, a_deployment())
    assert len(cluster.asked) == 1
