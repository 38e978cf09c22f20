"""A cluster's API behind a proxy that spoils what passes: what may be asked again is, nothing is made twice, and a broken watch hides nothing."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gitreceive.engines.kubernetes_target import watching
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.errors import RolloutError, UnavailableError
from gitreceive.patience import Patience
from tests.faults.kinds import (
    Fault,
    Faults,
    latency,
    reset_after,
    reset_before,
    status,
    truncate,
)
from tests.faults.ways import cluster_behind

pytestmark = pytest.mark.kubernetes

QUICK = Patience(attempts=6, seconds=5, first=0.01)
PASSING = {
    "latency": latency(0.2),
    "429": status(429, {"Retry-After": "1"}),
    "500": status(500),
    "503": status(503, {"Retry-After": "1"}),
    "reset before": reset_before(),
    "reset after": reset_after(),
    "reset inside the head": reset_after(40),
    "reset inside": reset_after(400),
    "truncate": truncate(400),
}


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def api(faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    with cluster_behind(faults, Path(os.environ["KUBECONFIG"]), tmp_path) as behind:
        monkeypatch.setenv("KUBECONFIG", str(behind))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        yield Api(patience=QUICK)


@pytest.fixture
def config(faults: Faults) -> Iterator[dict[str, Any]]:
    """A ConfigMap that is not there yet."""
    name = f"faults-{uuid4().hex[:8]}"
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"a": "b"},
    }
    Api().delete("ConfigMap", name, "default")


@pytest.mark.parametrize("name", PASSING)
def test_a_question_is_answered_after_a_fault(api: Api, faults: Faults, name: str) -> None:
    times = 1 if name == "latency" else 2
    faults.next("GET", "/api/v1/namespaces/default$", PASSING[name], times=times)

    found = api.get("Namespace", "default")
    assert found
    assert found["metadata"]["name"] == "default"
    assert faults.counts[PASSING[name].kind] == times


@pytest.mark.parametrize("path", ["/apis$", "/version$"])
def test_what_the_cluster_serves_is_asked_again(api: Api, faults: Faults, path: str) -> None:
    faults.next("GET", path, status(500), reset_before())

    assert api.api_version("Deployment") == "apps/v1"


@pytest.mark.parametrize(
    "fault",
    [reset_before(), reset_after(), reset_after(30), truncate(300), status(500)],
    ids=lambda f: f.kind,
)
def test_what_was_made_and_not_confirmed_is_found_and_not_made_twice(
    api: Api, faults: Faults, config: dict[str, Any], fault: Fault
) -> None:
    faults.next("POST", "/configmaps", fault)

    made = api.create(config)

    there = Api().get("ConfigMap", config["metadata"]["name"], "default")
    assert there
    assert made["metadata"]["uid"] == there["metadata"]["uid"]


def test_somebody_elses_object_of_that_name_is_not_taken_for_ours(
    api: Api, faults: Faults, config: dict[str, Any]
) -> None:
    Api().create(config)
    faults.next("POST", "/configmaps", reset_after())

    with pytest.raises(RolloutError, match="already exists"):
        api.create(config)


def test_an_apply_and_a_removal_may_be_asked_twice(api: Api, faults: Faults, config: dict[str, Any]) -> None:
    faults.next("(PATCH|DELETE)", "/configmaps", reset_after(), times=2)
    api.apply(config)
    faults.next("DELETE", "/configmaps", reset_after())
    api.delete("ConfigMap", config["metadata"]["name"], "default")

    assert Api().get("ConfigMap", config["metadata"]["name"], "default") is None


def test_a_wish_to_wait_longer_than_patience_ends_the_call(api: Api, faults: Faults) -> None:
    faults.next("GET", "/namespaces/default$", status(429, {"Retry-After": "3600"}), times=9)

    with pytest.raises(UnavailableError, match="the cluster is too busy"):
        api.get("Namespace", "default")
    assert faults.count("GET", "/namespaces/default$") == 1


def test_a_cluster_that_stays_broken_is_told_as_the_one_that_failed(api: Api, faults: Faults) -> None:
    faults.next("GET", "/namespaces/default$", status(503), times=99)

    with pytest.raises(UnavailableError, match="the cluster failed") as caught:
        api.get("Namespace", "default")
    assert caught.value.hint
    assert faults.count("GET", "/namespaces/default$") == QUICK.attempts


@pytest.mark.parametrize(
    "fault",
    [reset_before(), reset_after(30), truncate(500), reset_after(600), status(500)],
    ids=lambda f: f.kind,
)
def test_a_watch_that_breaks_is_taken_up_again(
    api: Api, faults: Faults, config: dict[str, Any], fault: Fault
) -> None:
    faults.next("GET", "watch=true", fault, times=2)
    name = config["metadata"]["name"]
    with watching.NamespaceWatch(api, "default", ("Event",)) as watch:
        watch.wait_until_listed()
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": "default"},
            "involvedObject": {"kind": "ConfigMap", "name": name, "namespace": "default"},
            "message": "x" * 600,
        }
        Api().create(event)
        version = 0
        for _ in range(60):
            version, snapshot = watch.snapshot()
            if name in snapshot.events:
                break
            watch.wait(version, 0.5)
        assert name in watch.snapshot()[1].events
    Api().delete("Event", name, "default")
