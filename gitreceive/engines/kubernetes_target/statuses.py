"""What runs, in words."""

from collections.abc import Iterable
from datetime import datetime

from gitreceive.engines.kubernetes_target.verdict import how_it_ended, pod_doing, pod_problems
from gitreceive.manifests.rendering import COMPONENT_LABEL, RELEASE_ANNOTATION
from gitreceive.manifests.templating import Manifest
from gitreceive.model import ProcessStatus

_STATES = {"crash": "crashed", "start": "crashed", "evicted": "crashed"}


def statuses(
    deployments: Iterable[Manifest], pods: Iterable[Manifest], events: Iterable[Manifest], now: datetime
) -> tuple[ProcessStatus, ...]:
    """By process and age: each pod, and a line for each Deployment that has fewer pods than it wants."""
    events = list(events)
    mine = [pod for pod in pods if COMPONENT_LABEL in (pod["metadata"].get("labels") or {})]
    found = [_pod_status(pod, events, now) for pod in mine]
    for deployment in deployments:
        found += _missing(deployment, found, now)
    return tuple(
        sorted(found, key=lambda status: (status.process != "web", status.process, -status.age_seconds))
    )


def release_of(item: Manifest) -> int:
    """The release number on record; 0 where there is none."""
    number = (item["metadata"].get("annotations") or {}).get(RELEASE_ANNOTATION, "")
    return int(number) if number.isdigit() else 0


def _pod_status(pod: Manifest, events: list[Manifest], now: datetime) -> ProcessStatus:
    process = pod["metadata"]["labels"][COMPONENT_LABEL]
    containers = pod.get("status", {}).get("containerStatuses") or []
    ready = bool(containers) and all(container.get("ready") for container in containers)
    problems = () if ready else pod_problems(process, pod, events)
    if "deletionTimestamp" in pod["metadata"]:
        state, reason = "stopping", ""
    elif ready:
        state, reason = "up", ""
    elif problems:
        state = _STATES.get(problems[0].kind, "waiting")
        reason = problems[0].text.removeprefix(process).lstrip(": ")
    else:
        state, reason = "starting", pod_doing(pod, events)
    return ProcessStatus(
        process,
        pod["metadata"]["name"],
        release_of(pod),
        state,
        ready,
        sum(container.get("restartCount", 0) for container in containers),
        _age(pod, now),
        reason,
        _last_exit(containers, now),
    )


def _last_exit(containers: Iterable[Manifest], now: datetime) -> str:
    """How the process before the one that runs ended, and when."""
    for container in containers:
        if ended := container.get("lastState", {}).get("terminated"):
            since = (
                (now - datetime.fromisoformat(ended["finishedAt"])).total_seconds()
                if ended.get("finishedAt")
                else 0
            )
            return f"{how_it_ended(ended)}, {max(0, round(since))} s ago"
    return ""


def _missing(deployment: Manifest, found: Iterable[ProcessStatus], now: datetime) -> list[ProcessStatus]:
    name = deployment["metadata"]["name"]
    wanted = deployment["spec"].get("replicas", 1)
    there = sum(status.process == name and status.state != "stopping" for status in found)
    if there >= wanted:
        return []
    conditions = deployment.get("status", {}).get("conditions") or []
    failure = next((c.get("message", "") for c in conditions if c.get("type") == "ReplicaFailure"), "")
    reason = " ".join(failure.split()) or "no pod yet"
    release = release_of(deployment)
    return [ProcessStatus(name, "-", release, "waiting", False, 0, _age(deployment, now), reason)] * (
        wanted - there
    )


def _age(item: Manifest, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(item["metadata"]["creationTimestamp"])).total_seconds())
