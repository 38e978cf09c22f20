"""The RuntimeClass that settings name, as `doctor` looks for it."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from gitreceive.config import KubernetesSettings, Settings
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.permissions import check
from gitreceive.model import Check

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def there() -> Iterator[str]:
    """The name of one that the cluster has."""
    api, name = Api(), f"tests-{uuid4().hex[:8]}"
    made = {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": name},
        "handler": "runc",
    }
    api.create(made)
    yield name
    api.delete("RuntimeClass", name)


def _found(name: str) -> list[Check]:
    settings = Settings(kubernetes=KubernetesSettings(runtime_class=name))
    return [one for one in check(Api(), settings) if one.name == "kubernetes.runtime_class"]


def test_doctor_says_whether_the_cluster_has_it(there: str) -> None:
    assert _found("") == []
    assert [(one.ok, one.seen) for one in _found(there)] == [(True, there)]
    (missing,) = _found(f"{there}-of-nobody")
    assert not missing.ok
    assert missing.seen == f"the cluster has no RuntimeClass {there}-of-nobody"
    assert "kubectl get runtimeclasses" in missing.fix
