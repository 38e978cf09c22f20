"""What targets say of runs by the clock, read from what they answered."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitreceive.config import DockerSettings, Settings
from gitreceive.engines.docker_target import DockerTarget, one_offs
from gitreceive.engines.docker_target import containers as made
from gitreceive.engines.docker_target.containers import Stage
from gitreceive.engines.docker_target.logs import _source
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.cron_runs import joined
from gitreceive.engines.kubernetes_target.rollout import _starting_configs, divided
from gitreceive.manifests.rendering import ENTRY_LABEL, RELEASE_ANNOTATION, render
from gitreceive.manifests.templating import Manifest
from gitreceive.model import (
    AppSettings,
    CronEntry,
    CronTask,
    Declared,
    LogSource,
    Maintenance,
    OneOff,
    Schedule,
)
from tests.test_manifests import a_release

BEGAN, ENDED = "2026-03-04T12:00:01Z", "2026-03-04T12:00:09Z"
_ASKED = OneOff("clean-29543760", ("sh", "-c", "x"), "x", a_release().user, 60, kept=False, entry="clean")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def a_job(name: str = "clean-1", **status: Any) -> Manifest:
    metadata = {
        "name": name,
        "creationTimestamp": BEGAN,
        "labels": {ENTRY_LABEL: "clean"},
        "annotations": {RELEASE_ANNOTATION: "7"},
    }
    return {"metadata": metadata, "status": status}


def a_pod(state: dict[str, Any], job: str = "clean-1", created: str = BEGAN, **status: Any) -> Manifest:
    return {
        "metadata": {"name": f"{job}-x", "creationTimestamp": created, "labels": {"job-name": job}},
        "status": {"containerStatuses": [{"name": "cron", "state": state}] if state else [], **status},
    }


def ended(code: int, reason: str = "Completed") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": ENDED}}


@pytest.mark.parametrize(
    ("job", "pod", "state", "code", "reason", "end"),
    [
        (a_job(), None, "starting", None, "", None),
        (a_job(), a_pod({"waiting": {}}), "starting", None, "", None),
        (a_job(), a_pod({"running": {"startedAt": BEGAN}}), "up", None, "", None),
        (a_job(), a_pod(ended(0)), "ended", 0, "", ENDED),
        (a_job(), a_pod(ended(3, "Error")), "failed", 3, "", ENDED),
        (a_job(), a_pod(ended(137, "OOMKilled")), "failed", 137, "ran out of memory (OOMKilled)", ENDED),
        (a_job(completionTime=ENDED, conditions=[{"type": "Complete", "status": "True"}]), None, "ended", 0, "", ENDED),
        (
            a_job(
                conditions=[
                    {"type": "Failed", "status": "True", "message": "the pod was lost", "lastTransitionTime": ENDED}
                ]
            ),
            None,
            "failed",
            None,
            "the pod was lost",
            ENDED,
        ),
        (
            a_job(conditions=[{"type": "Failed", "status": "True", "lastTransitionTime": ENDED}]),
            a_pod({}, phase="Failed", reason="DeadlineExceeded", message="Pod was active too long"),
            "failed",
            None,
            "the cluster ended it: Pod was active too long",
            ENDED,
        ),
    ],
)  # fmt: skip
def test_a_job_and_its_pod_are_one_run(
    job: Manifest, pod: Manifest | None, state: str, code: int | None, reason: str, end: str | None
) -> None:
    (run,) = joined([job], [pod] if pod else [])
    assert (run.entry, run.release, run.state, run.exit_code, run.reason) == ("clean", 7, state, code, reason)
    assert (run.started, run.ended) == (moment(BEGAN), moment(end) if end else None)
    assert run.name == ("clean-1-x" if pod else "clean-1")
    assert run.over == (state in {"ended", "failed"})


def test_runs_are_told_oldest_first_and_with_their_own_pods() -> None:
    later, earlier = a_job("clean-2", startTime=ENDED), a_job("clean-1", startTime=BEGAN)
    runs = joined([later, earlier], [a_pod(ended(0), "clean-2"), a_pod(ended(1), "clean-1")])
    assert [(run.name, run.exit_code) for run in runs] == [("clean-1-x", 1), ("clean-2-x", 0)]


def test_what_runs_by_the_clock_is_told_the_cluster_when_all_is_healthy() -> None:
    entry = CronEntry("clean", "@daily", "x")
    release = a_release(settings=AppSettings(schedule=Schedule({"clean": entry})))
    now, later = divided(render(release, Settings()), release)
    assert [item["kind"] for item in later] == ["CronJob"]
    assert {"Deployment", "Service"} <= {item["kind"] for item in now}
    closed = replace(release, settings=replace(release.settings, maintenance=Maintenance(on=True)))
    now, later = divided(iter(render(release, Settings())), closed)
    assert {item["kind"] for item in later} == {"CronJob", "Service"}


def test_config_of_a_pod_that_has_not_begun_is_kept() -> None:
    spec = {"containers": [{"name": "cron", "envFrom": [{"secretRef": {"name": "config-1"}}]}]}
    waiting, running = ({"spec": spec, "status": {"phase": phase}} for phase in ("Pending", "Running"))
    assert _starting_configs([running]) == set()
    assert _starting_configs([running, waiting]) == {"config-1"}


class _Cluster(Api):
    """Of a version, which knows batch/v1 as all do."""

    def __init__(self, minor: str) -> None:
        super().__init__()
        self._version = {"major": "1", "minor": minor}
        self._served = frozenset({"batch/v1", "batch/v1beta1"})

    def _connected(self) -> Any:
        return None


@pytest.mark.parametrize(
    ("minor", "version"),
    [("20", "batch/v1beta1"), ("21", "batch/v1"), ("20+", "batch/v1beta1"), ("33", "batch/v1")],
)
def test_a_cluster_is_spoken_to_in_its_own_version(minor: str, version: str) -> None:
    assert _Cluster(minor).api_version("CronJob") == version
    assert _Cluster(minor).api_version("Job") == "batch/v1"


# --- docker ---------------------------------------------------------------------------------------------------------


def a_container(asked: OneOff = _ASKED) -> tuple[made.Container, dict[str, Any]]:
    """As the engine lists what it was asked to create, and the body of that."""
    body = made.one_off(a_release(), asked, owned_by="me", user="1000", settings=DockerSettings())
    place = made.Place(3, made.one_off_process(asked), 1)
    name = made.name("me", a_release().app, place, Stage.LIVE, asked.name)
    row = {
        "Id": "c" * 64,
        "Labels": body["Labels"],
        "Names": [f"/{name}"],
        "State": "exited",
        "Created": 1772625601,
    }
    return made.listed("me", [row])[0], body


def test_a_container_of_the_clock_is_known_again_by_its_labels() -> None:
    container, body = a_container()
    assert (container.entry, container.instance, container.place.process) == ("clean", _ASKED.name, "cron")
    assert (container.once, _source(container)) == (True, LogSource.CRON)
    assert body["Entrypoint"] == ["sh", "-c", "x"]
    by_hand, _ = a_container(replace(_ASKED, entry="", name="run-abcdef"))
    assert (by_hand.entry, by_hand.place.process, _source(by_hand)) == ("", "run", LogSource.RUN)


def test_a_plan_says_what_the_server_would_run_by_the_clock(tmp_path: Path) -> None:
    release = a_release(declared=Declared(cron=(CronTask("@daily", "python clean.py"),)))
    plan = list(yaml.safe_load_all(DockerTarget(Settings(data_dir=tmp_path)).plan(release)))
    assert plan[-1] == {
        "cron": "python-clean-py",
        "schedule": "@daily",
        "command": "python clean.py",
        "concurrency": "allow",
        "seconds": 86400,
    }


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"Status": "created", "FinishedAt": "0001-01-01T00:00:00Z"}, ("starting", None, None, "")),
        (
            {"Status": "running", "Running": True, "FinishedAt": "0001-01-01T00:00:00Z"},
            ("up", None, None, ""),
        ),
        (
            {"Status": "exited", "ExitCode": 0, "FinishedAt": "2026-03-04T12:00:09.123456789Z"},
            ("ended", 0, "2026-03-04T12:00:09.123456Z", ""),
        ),
        (
            {"Status": "exited", "ExitCode": 137, "OOMKilled": True, "FinishedAt": ENDED},
            ("failed", 137, ENDED, "it was killed for memory"),
        ),
    ],
)
def test_an_inspected_container_is_a_run(
    state: dict[str, Any], expected: tuple[str, int | None, str | None, str]
) -> None:
    container, body = a_container()
    run = one_offs.cron_run(container, {"State": state, "Config": {"Labels": body["Labels"]}})
    end = moment(expected[2]) if expected[2] else None
    assert (run.state, run.exit_code, run.ended, run.reason) == (expected[0], expected[1], end, expected[3])
    assert (run.entry, run.release, run.started) == ("clean", 3, moment(BEGAN))
