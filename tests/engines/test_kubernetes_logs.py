"""Which runs of containers the cluster's pods have, and that a log is that of the run that was meant; without a cluster."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.logs import PodRuns
from gitreceive.engines.kubernetes_target.refusals import refusal
from gitreceive.errors import RolloutError, UnavailableError
from gitreceive.manifests.rendering import COMPONENT_LABEL, ONCE_LABEL, SOURCE_LABEL
from gitreceive.manifests.templating import Manifest
from gitreceive.model import LogSource
from gitreceive.tailing import Run


def a_pod(
    now: str, before: str = "", *, running: bool = True, labels: Mapping[str, str] | None = None
) -> Manifest:
    state = {"running": {}} if running else {"terminated": {"containerID": now}}
    last = {"terminated": {"containerID": before}} if before else {}
    status = {"name": "web", "containerID": now, "state": state, "lastState": last}
    return {
        "metadata": {
            "name": "web-1",
            "namespace": "app-shop",
            "labels": labels or {COMPONENT_LABEL: "web"},
        },
        "status": {"containerStatuses": [status]},
    }


class Lines:
    def __init__(self) -> None:
        self.closed = False

    def chunks(self) -> Iterator[bytes]:
        yield b"2026-01-31T09:00:00Z hello\n"

    def interrupt(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True


class FakeApi:
    """Shows the pod as it is at each look, in turn; the last one stays."""

    def __init__(self, *pods: Manifest | None) -> None:
        self.pods = list(pods)
        self.asked: list[Mapping[str, str]] = []
        self.opened: list[Lines] = []

    def get(self, kind: str, name: str, namespace: str) -> Manifest | None:
        return self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]

    def list(self, kind: str, namespace: str, selector: str) -> Any:
        return {"items": self.pods}

    def log_path(self, namespace: str, pod: str) -> str:
        return f"/{namespace}/{pod}"

    def open(self, path: str, query: Mapping[str, str], *, silence: float) -> Lines:
        self.asked.append(query)
        self.opened.append(Lines())
        return self.opened[-1]


def there(*pods: Manifest) -> list[Run]:
    return list(PodRuns(cast("Api", FakeApi(*pods)), "app-shop").there())


def opened(api: FakeApi, log: str) -> bytes:
    run = Run(log, "web-1", "web", LogSource.APP, ended=False)
    return b"".join(PodRuns(cast("Api", api), "app-shop").open(run, since=10**9, tail=None, follow=True))


def test_a_pod_has_the_run_that_goes_on_and_the_one_that_crashed() -> None:
    assert there(a_pod("now", "crashed")) == [
        Run("crashed", "web-1", "web", LogSource.APP, ended=True),
        Run("now", "web-1", "web", LogSource.APP, ended=False),
    ]
    assert there(a_pod("over", running=False)) == [Run("over", "web-1", "web", LogSource.APP, ended=True)]


@pytest.mark.parametrize(
    ("labels", "source"),
    [
        ({ONCE_LABEL: "web"}, LogSource.RUN),
        ({ONCE_LABEL: "web", SOURCE_LABEL: "cron"}, LogSource.CRON),
    ],
)
def test_what_runs_once_says_what_it_is(labels: dict[str, str], source: LogSource) -> None:
    assert [run.source for run in there(a_pod("now", labels=labels))] == [source]


def test_a_pod_of_others_is_not_read() -> None:
    assert there(a_pod("now", labels={"app": "other"})) == []


def test_the_log_of_a_run_that_crashed_is_the_previous_one() -> None:
    api = FakeApi(a_pod("now", "crashed"))
    assert opened(api, "crashed").endswith(b"hello\n")
    assert api.asked[0]["previous"] == "true"
    assert api.asked[0]["sinceTime"] == "1970-01-01T00:00:01Z"


def test_a_run_that_crashes_while_its_log_is_asked_for_is_asked_for_again() -> None:
    api = FakeApi(a_pod("mine"), a_pod("another", "mine"))
    assert opened(api, "mine").endswith(b"hello\n")
    assert ["previous" in query for query in api.asked] == [False, True]
    assert api.opened[0].closed


def test_a_run_that_is_gone_is_told() -> None:
    for api in (FakeApi(None), FakeApi(a_pod("another"))):
        with pytest.raises(RolloutError):
            opened(api, "mine")


DENIAL = 'pods "web-1" is forbidden: User "git" cannot get resource "pods" in API group "" in the namespace "app-shop"'


class DenyingApi(FakeApi):
    def get(self, kind: str, name: str, namespace: str) -> Manifest | None:
        raise refusal(403, json.dumps({"reason": "Forbidden", "message": DENIAL}), {})


def test_a_log_that_may_not_be_read_is_not_taken_for_one_that_is_gone() -> None:
    with pytest.raises(UnavailableError, match='cannot get resource "pods"') as caught:
        opened(DenyingApi(a_pod("mine")), "mine")
    assert "doctor" in caught.value.hint


def test_what_an_admission_refuses_is_no_matter_of_rights() -> None:
    words = 'pods "web-1" is forbidden: exceeded quota: small, requested: pods=1'
    refused = refusal(403, json.dumps({"reason": "Forbidden", "message": words}), {})
    assert type(refused) is RolloutError
