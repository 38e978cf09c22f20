"""Claims, bound Secrets and strategies, without a cluster."""

from typing import Any, cast

import pytest

from gitreceive.config import Settings
from gitreceive.engines.kubernetes_target import bound, claims, strategies
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.manifests.rendering import MANAGED_LABEL, MANAGER, render
from gitreceive.manifests.templating import Manifest
from gitreceive.model import AppSettings, Runtime, Volume, VolumeStatus
from tests.test_manifests import a_release

NAMESPACE = "app-shop"
OURS = {MANAGED_LABEL: MANAGER}


class _Cluster:
    """Objects by kind, and what is done to them."""

    def __init__(self, **objects: list[Manifest]) -> None:
        self.objects = objects
        self.done: list[tuple[Any, ...]] = []

    def list(self, kind: str, _namespace: str, selector: str = "") -> Manifest:
        items = self.objects.get(kind, [])
        ours = [i for i in items if (i["metadata"].get("labels") or {}).get(MANAGED_LABEL) == MANAGER]
        return {"items": ours if selector else items}

    def get(self, kind: str, name: str, namespace: str) -> Manifest | None:
        found = self.list(kind, namespace)["items"]
        return next((item for item in found if item["metadata"]["name"] == name), None)

    def delete(self, *words: Any) -> None:
        self.done.append(("delete", *words))

    def merge(self, item: Manifest, change: Manifest, owner: str) -> None:
        self.done.append((item["metadata"]["name"], change, owner))

    @property
    def api(self) -> Api:
        return cast("Api", self)


def wanted(size: str = "1Gi", *, shared: bool = False) -> list[Manifest]:
    volumes = {"uploads": Volume("/data", size=size, shared=shared)}
    release = a_release(settings=AppSettings(runtime=Runtime(volumes=volumes)))
    return [item for item in render(release, Settings()) if item["kind"] == claims.CLAIM]


def claim(size: str = "1Gi", *, mode: str = "ReadWriteOnce", **metadata: Any) -> Manifest:
    return {
        "metadata": {"name": "uploads", "namespace": NAMESPACE, "labels": OURS, **metadata},
        "spec": {
            "accessModes": [mode],
            "storageClassName": "standard",
            "volumeName": "pv-1",
            "resources": {"requests": {"storage": size}},
        },
        "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}},
    }


def fitted(objects: list[Manifest], live: Manifest) -> list[Manifest]:
    return claims.fitted(_Cluster(PersistentVolumeClaim=[live]).api, NAMESPACE, objects)


def test_a_claim_that_is_not_there_is_made() -> None:
    assert claims.fitted(_Cluster().api, NAMESPACE, wanted()) == wanted()


@pytest.mark.parametrize("size", ["1Gi", "2Gi", "3G", "1e12"])
def test_a_claim_that_is_large_enough_is_left_as_it_is(size: str) -> None:
    assert fitted(wanted("1Gi"), claim(size)) == []


def test_a_claim_grows_and_keeps_its_class() -> None:
    (item,) = fitted(wanted("5Gi"), claim("1Gi"))
    assert item["metadata"] == wanted()[0]["metadata"]
    assert item["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": "5Gi"}},
    }


@pytest.mark.parametrize(
    ("objects", "live", "why"),
    [
        (wanted(), claim(labels={}), "is not gitreceive's"),
        (wanted(), claim(deletionTimestamp="2026-01-01T00:00:00Z"), "is being removed"),
        (wanted(shared=True), claim(), "was made ReadWriteOnce, which cannot be changed"),
    ],
)
def test_a_claim_that_does_not_fit_stops_the_roll_out(
    objects: list[Manifest], live: Manifest, why: str
) -> None:
    with pytest.raises(ConflictError, match=why):
        fitted(objects, live)


def test_claims_are_told_in_words() -> None:
    others = claim(name="theirs", labels={})
    cluster = _Cluster(PersistentVolumeClaim=[claim(), others])
    assert claims.statuses(cluster.api, NAMESPACE) == (VolumeStatus("uploads", "2Gi", None, "bound"),)


def test_a_claim_is_removed_by_name_and_not_while_it_is_mounted() -> None:
    pod = {"volumes": [{"name": "uploads", "persistentVolumeClaim": {"claimName": "uploads"}}]}
    web = {"metadata": {"name": "web", "labels": OURS}, "spec": {"template": {"spec": pod}}}
    cluster = _Cluster(PersistentVolumeClaim=[claim()], Deployment=[web])
    with pytest.raises(ConflictError, match="web mounts volume uploads"):
        claims.remove(cluster.api, NAMESPACE, "uploads")
    assert not claims.remove(cluster.api, NAMESPACE, "other")
    cluster.objects["Deployment"] = []
    assert claims.remove(cluster.api, NAMESPACE, "uploads")
    assert cluster.done == [("delete", claims.CLAIM, "uploads", NAMESPACE)]


def secret(name: str, kind: str = "Opaque", **labels: str) -> Manifest:
    return {"metadata": {"name": name, "labels": labels}, "type": kind, "data": {"b": "", "A": ""}}


def test_a_secret_tells_its_names_and_a_missing_one_how_to_make_it() -> None:
    cluster = _Cluster(Secret=[secret("mine")])
    assert bound.names(cluster.api, NAMESPACE, "mine") == ("A", "b")
    with pytest.raises(NotFoundError, match="no Secret other in namespace app-shop") as error:
        bound.names(cluster.api, NAMESPACE, "other")
    assert "kubectl create secret generic other --namespace app-shop" in error.value.hint
    release = a_release(settings=AppSettings(runtime=Runtime(secrets={"mine": "", "gone": ""})))
    with pytest.raises(NotFoundError, match="no Secret gone"):
        bound.require_all(cluster.api, NAMESPACE, release)


@pytest.mark.parametrize(
    "there",
    [
        secret("x", **OURS),
        secret("x", "kubernetes.io/service-account-token"),
        secret("x", "kubernetes.io/dockerconfigjson"),
    ],
)
def test_credentials_of_the_platform_are_no_app_s(there: Manifest) -> None:
    with pytest.raises(ConflictError, match="holds credentials of the platform"):
        bound.names(_Cluster(Secret=[there]).api, NAMESPACE, "x")


ROLLED = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}
REPLACED = {"type": "Recreate"}
SURGES = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


@pytest.mark.parametrize(
    ("strategy", "before", "owner", "change"),
    [
        (ROLLED, ROLLED, MANAGER, None),
        (SURGES, ROLLED, MANAGER, None),  # who else owns it is told when it is applied
        (REPLACED, ROLLED, MANAGER, {"type": "Recreate", "rollingUpdate": None}),
        (ROLLED, REPLACED, "gitreceive-strategy", ROLLED),
        (SURGES, ROLLED, "gitreceive-strategy", SURGES),
    ],
)
def test_another_strategy_is_set_before_it_is_applied(
    strategy: Manifest, before: Manifest, owner: str, change: Manifest | None
) -> None:
    cluster = _Cluster()
    live = {"metadata": {"managedFields": [{"manager": owner}]}, "spec": {"strategy": before}}
    item = {"metadata": {"name": "web"}, "spec": {"strategy": strategy}}
    strategies.settle(cluster.api, item, live)
    strategies.settle(cluster.api, item, None)
    expected = [("web", {"spec": {"strategy": change}}, "gitreceive-strategy")] if change else []
    assert cluster.done == expected
