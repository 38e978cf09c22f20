"""How a process type of a release is doing, from what the cluster shows of it. Pure: the same objects, the same verdict."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gitreceive.manifests.templating import Manifest
from gitreceive.model import out_of_memory

_REVISION = "deployment.kubernetes.io/revision"
_PULL_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
}
# words of a node's about a registry that failed it in a way that may pass: the kubelet pulls again, after 10 s, 20 s, 40 s
_PASSING_PULL = re.compile(
    r"\bstatus\b.*?: (429|5\d\d)\b|toomanyrequests|connection reset|broken pipe|\bEOF\b|i/o timeout|"
    r"TLS handshake timeout|Client\.Timeout|deadline exceeded|"
    r'transport connection broken(?!: malformed HTTP response "\\x)',  # half a head; no text at all is TLS, which does not pass
    re.IGNORECASE,
)
_START_REASONS = {"CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun"}
_SETUP_EVENTS = {"FailedMount", "FailedCreatePodSandBox", "FailedAttachVolume"}
_FOREVER = float("inf")
_NO_VOLUME = "see gitreceive volumes list, and `kubectl get storageclass`: where none is the default, set kubernetes.storage_class"


@dataclass(frozen=True)
class Snapshot:
    """The namespace's objects by name, as the API shows them. ``events`` are those since the roll-out began."""

    deployments: Mapping[str, Manifest]
    replica_sets: Mapping[str, Manifest]
    pods: Mapping[str, Manifest]
    events: Mapping[str, Manifest]


@dataclass(frozen=True)
class Problem:
    """What stands in the way, in the cluster's own words. It fails the release once it has lasted ``patience`` seconds."""

    process: str
    kind: str  # crash, start, pull, config, refused, unschedulable, setup, evicted, probe
    text: str  # one line, short enough for git's status line
    patience: float
    detail: str = ""  # all that the cluster says
    hint: str = ""
    pod: str = ""  # whose last lines tell why, where there are any


@dataclass(frozen=True)
class State:
    process: str
    ready: int
    desired: int
    done: bool
    doing: str
    problems: tuple[Problem, ...] = ()
    pod: str = ""  # one that is not ready, for its last lines

    def __str__(self) -> str:
        doing = f", {self.doing}" if self.doing else ""
        return f"{self.process}: {self.ready} of {self.desired} ready{doing}"


class Patience:
    """Remembers since when each problem lasts. One that goes away begins anew."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}

    def overdue(self, problems: Iterable[Problem], now: float) -> Problem | None:
        """The first problem that has outlasted its patience. ``now``: seconds on any clock that only grows."""
        present = {(problem.process, problem.kind): problem for problem in problems}
        self._since = {key: self._since.get(key, now) for key in present}
        return next((p for key, p in present.items() if now - self._since[key] >= p.patience), None)


def look(process: str, generation: int, snapshot: Snapshot) -> State:
    """Where the Deployment of a process type stands.

    ``generation``: that of the Deployment as it was applied; until the snapshot has it, nothing is known. Done is what
    `kubectl rollout status` calls successfully rolled out.
    """
    deployment = snapshot.deployments.get(process)
    if deployment is None or deployment["metadata"].get("generation", 0) < generation:
        return State(process, 0, 1, done=False, doing="")
    desired = deployment["spec"].get("replicas", 1)
    status = deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return State(process, 0, desired, done=False, doing="")
    newest = _newest(deployment, snapshot.replica_sets.values())
    if newest is not None and desired and not newest["spec"].get("replicas", 1):
        return State(process, 0, desired, done=False, doing="")  # it ends, before there is another (Recreate)
    if newest is None:
        return State(process, 0, desired, done=desired == 0, doing="")
    ready = min(newest.get("status", {}).get("availableReplicas", 0), desired)
    pods = _pods_of(newest, snapshot.pods.values())
    waiting = [pod for pod in pods if not _is_ready(pod)]
    return State(
        process,
        ready,
        desired,
        done=_is_done(status, desired) and ready == desired,
        doing=_doing(ready, desired, pods, waiting, snapshot),
        problems=(*_refusals(process, newest), *_pod_problems(process, waiting, snapshot)),
        pod=waiting[0]["metadata"]["name"] if waiting else "",
    )


def pod_problems(process: str, pod: Manifest, events: Iterable[Manifest]) -> tuple[Problem, ...]:
    """What keeps one pod from running; its own exit is not among it where the pod is to run once."""
    own = [event for event in events if event["involvedObject"].get("uid") == pod["metadata"]["uid"]]
    checks = (_unschedulable, _setup, _evicted, _probe, _container)
    return tuple(found for check in checks if (found := check(process, pod, own)))


# --- the Deployment and its newest ReplicaSet -----------------------------------------------------------------------


def _newest(deployment: Manifest, replica_sets: Iterable[Manifest]) -> Manifest | None:
    revision = deployment["metadata"].get("annotations", {}).get(_REVISION)
    return next(
        (
            item
            for item in replica_sets
            if _owner(item) == deployment["metadata"]["uid"]
            and item["metadata"].get("annotations", {}).get(_REVISION) == revision
        ),
        None,
    )


def _pods_of(replica_set: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    uid = replica_set["metadata"]["uid"]
    mine = [pod for pod in pods if _owner(pod) == uid and "deletionTimestamp" not in pod["metadata"]]
    return sorted(mine, key=lambda pod: str(pod["metadata"]["name"]))


def _owner(item: Manifest) -> str | None:
    owners = item["metadata"].get("ownerReferences") or []
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


def _is_done(status: Mapping[str, Any], desired: int) -> bool:
    counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    return counts == {desired}


def _refusals(process: str, replica_set: Manifest) -> Iterable[Problem]:
    for condition in replica_set.get("status", {}).get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            message = _one_line(condition.get("message", ""))
            words = message.partition("is forbidden: ")[2] or message
            yield Problem(
                process,
                "refused",
                f"{process}: the cluster refuses its pods: {_short(words)}",
                patience=5,
                detail=message,
                hint=_refusal_hint(message),
            )


def _refusal_hint(message: str) -> str:
    if "exceeded quota" in message:
        return "raise the namespace's ResourceQuota, or ask for less memory or fewer replicas"
    return "a rule of the cluster (admission) forbids these pods; change the rule or the template"


# --- its pods -------------------------------------------------------------------------------------------------------


def _is_ready(pod: Manifest) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in pod.get("status", {}).get("conditions") or []
    )


def _pod_problems(process: str, pods: Iterable[Manifest], snapshot: Snapshot) -> Iterable[Problem]:
    for pod in pods:
        yield from pod_problems(process, pod, snapshot.events.values())


def _unschedulable(process: str, pod: Manifest, events: list[Manifest]) -> Problem | None:
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            message = _one_line(condition.get("message", ""))
            # A cluster that is adding a node is given until the deadline.
            growing = any(event.get("reason") == "TriggeredScaleUp" for event in events)
            volume = (
                "persistentvolumeclaim" in message.lower()
            )  # whatever makes volumes may take its time too
            return Problem(
                process,
                "unschedulable",
                f"{process} {'waits for its volume' if volume else 'fits on no node'}: {_short(message)}",
                patience=_FOREVER if growing or volume else 20,
                detail=message,
                hint=_NO_VOLUME if volume else "add a node, or ask for less: gitreceive ps limits, ps scale",
            )
    return None


def _setup(process: str, pod: Manifest, events: list[Manifest]) -> Problem | None:
    if any("waiting" not in status.get("state", {}) for status in _containers(pod)):
        return None
    failed = [event for event in events if event.get("reason") in _SETUP_EVENTS]
    if not failed:
        return None
    message = _one_line(failed[-1].get("message", ""))
    text = f"{process}: {failed[-1]['reason']}: {_short(message)}"
    return Problem(process, "setup", text, patience=25, detail=message)


def _probe(process: str, pod: Manifest, events: list[Manifest]) -> Problem | None:
    """A health check that was asked for and is not passed. One that led to an end of the process has failed for good."""
    failed = [event for event in events if event.get("reason") == "Unhealthy"]
    if not failed or not _asks_more(pod):
        return None
    last = max(failed, key=lambda event: str(event.get("lastTimestamp") or ""))
    kind, _, said = _one_line(last.get("message", "")).partition(" probe failed: ")
    ended = any("probe, will be restarted" in event.get("message", "") for event in events)
    return Problem(
        process,
        "probe",
        f"{process} failed its {kind.lower()} check: {_short(said)}",
        patience=0 if ended else _FOREVER,
        hint="gitreceive healthchecks list shows what is asked",
        pod=str(pod["metadata"]["name"]),
    )


def _asks_more(pod: Manifest) -> bool:
    """More than whether it listens, which every ``web`` is asked while it starts."""
    containers = pod.get("spec", {}).get("containers") or []
    named = ("startupProbe", "livenessProbe", "readinessProbe")
    asked = [container[name] for container in containers for name in named if name in container]
    return len(asked) > 1 or any("tcpSocket" not in probe for probe in asked)


def _evicted(process: str, pod: Manifest, _events: list[Manifest]) -> Problem | None:
    status = pod.get("status", {})
    if status.get("phase") != "Failed" or not status.get("reason"):
        return None
    message = _one_line(status.get("message", ""))
    return Problem(process, "evicted", f"{process}: {status['reason']}: {_short(message)}", 5, message)


def _container(process: str, pod: Manifest, events: list[Manifest]) -> Problem | None:
    for status in _containers(pod):
        waiting = status.get("state", {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), _one_line(waiting.get("message", ""))
        if reason in _PULL_REASONS:
            return _pull(process, reason, message, events)
        if reason == "CreateContainerConfigError":
            return _config(process, message)
        if found := _start(process, status, reason, message) or _crash(process, pod, status):
            return found
    return None


def _pull(process: str, reason: str, message: str, events: list[Manifest]) -> Problem:
    told = [
        _one_line(event.get("message", ""))
        for event in events
        if event.get("reason") == "Failed" and "pull" in event.get("message", "")
    ]
    detail = message if reason == "ErrImagePull" or not told else told[-1]
    patience = _FOREVER if _PASSING_PULL.search(detail) else 8
    return Problem(
        process,
        "pull",
        f"{process}: the image cannot be pulled ({reason}): {_last_words(detail)}",
        patience=0 if reason == "InvalidImageName" else patience,
        detail=detail,
        hint="the cluster's nodes must reach the registry and trust it; `gitreceive doctor` looks at both",
    )


def _config(process: str, message: str) -> Problem:
    root = "runAsNonRoot" in message
    return Problem(
        process,
        "config",
        f"{process} cannot start: {_short(message)}",
        patience=2 if root else 5,
        detail=f"CreateContainerConfigError: {message}",
        hint="add `USER 1000` to the Dockerfile: apps may not run as root, and the user must be a number"
        if root
        else "",
    )


def _start(process: str, status: Mapping[str, Any], reason: str, message: str) -> Problem | None:
    for ended in (status.get("state", {}).get("terminated"), status.get("lastState", {}).get("terminated")):
        if ended and ended.get("reason") in _START_REASONS:
            reason, message = ended["reason"], _one_line(ended.get("message", ""))
    if reason not in _START_REASONS:
        return None
    return Problem(
        process,
        "start",
        f"{process} cannot start: {_last_words(message)}",
        patience=1,
        detail=f"{reason}: {message}",
        hint="see that the command in the Procfile or the image is there and may be executed",
    )


def _crash(process: str, pod: Manifest, status: Mapping[str, Any]) -> Problem | None:
    state = status.get("state", {})
    ended = state.get("terminated") or status.get("lastState", {}).get("terminated")
    if not ended:
        return None
    exits = status.get("restartCount", 0) + (0 if "running" in state else 1)
    backing_off = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    return Problem(
        process,
        "crash",
        f"{process} {how_it_ended(ended)}{' (CrashLoopBackOff)' if backing_off else ''}",
        # Once may be chance, such as a database that is late; twice is not.
        patience=0 if exits >= 2 else 15,
        detail=f"{ended.get('reason', 'Error')}, exit {ended.get('exitCode')}, {exits} {'time' if exits == 1 else 'times'}",
        hint=_crash_hint(process, ended),
        pod=str(pod["metadata"]["name"]),
    )


def how_it_ended(ended: Mapping[str, Any]) -> str:
    if ended.get("reason") == "OOMKilled":
        return "ran out of memory (OOMKilled)"
    if ended.get("exitCode") == 0:
        return "ended: exit 0"
    if ended.get("signal"):
        return f"crashed: signal {ended['signal']}"
    return f"crashed: exit {ended.get('exitCode')}"


def _crash_hint(process: str, ended: Mapping[str, Any]) -> str:
    if ended.get("reason") == "OOMKilled":
        return out_of_memory(process)
    if ended.get("exitCode") == 0:
        return "a process must keep running; work that ends belongs into the `release` process"
    return ""


def _containers(pod: Manifest) -> list[Mapping[str, Any]]:
    return list(pod.get("status", {}).get("containerStatuses") or [])


# --- in words -------------------------------------------------------------------------------------------------------


def _doing(
    ready: int, desired: int, pods: list[Manifest], waiting: list[Manifest], snapshot: Snapshot
) -> str:
    if ready >= desired:
        return ""
    if not pods:
        return "waiting for pods"
    return pod_doing(waiting[0], snapshot.events.values()) if waiting else "settling"


def pod_doing(pod: Manifest, events: Iterable[Manifest]) -> str:
    """What a pod that is not ready is at."""
    if not pod.get("spec", {}).get("nodeName"):
        return "waiting for a node"
    uid = pod["metadata"]["uid"]
    reasons = [event.get("reason") for event in events if event["involvedObject"].get("uid") == uid]
    for status in _containers(pod):
        state = status.get("state", {})
        if "running" in state:
            return "starting" if not status.get("restartCount") else "starting again"
        if "terminated" in state:
            return "crashed, starting again"
        reason = (state.get("waiting") or {}).get("reason", "")
        if reason not in {"", "ContainerCreating", "PodInitializing"}:
            return str(reason)
    return "pulling image" if "Pulling" in reasons and "Pulled" not in reasons else "creating container"


_WRAPPING = re.compile(r"^(failed|unable) to|desc = ")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _last_words(text: str) -> str:
    """The end of a chain of wrapped errors is what says why."""
    parts = text.removesuffix(": unknown").split(": ")
    words = parts[-1]
    for part in reversed(parts[:-1]):
        if len(part) + 2 + len(words) > 110 or _WRAPPING.search(part):
            break
        words = f"{part}: {words}"
    return _short(words)
