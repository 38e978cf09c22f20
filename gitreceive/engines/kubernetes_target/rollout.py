"""Replace what runs by a release, and tell whether it is healthy."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from gitreceive.buildpacks.system_packages import hint_of_crash
from gitreceive.cancellation import Cancellation
from gitreceive.engines.kubernetes_target import autoscaling, strategies
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.verdict import Patience, Problem, State, look
from gitreceive.engines.kubernetes_target.watching import NamespaceWatch
from gitreceive.errors import ConflictError, GitreceiveError, RolloutError
from gitreceive.manifests.exposure import CERTIFICATE_KIND
from gitreceive.manifests.rendering import (
    COMPONENT_LABEL,
    CRON,
    KIND_LABEL,
    MANAGED_LABEL,
    MANAGER,
    OWNED,
)
from gitreceive.manifests.templating import Manifest
from gitreceive.model import Release
from gitreceive.ports import Log
from gitreceive.tailing.lines import stamped

_TAIL_LINES = 50
_REMOVED = (
    *("Deployment", "Service", "Ingress", "PodDisruptionBudget"),
    *("HorizontalPodAutoscaler", "ConfigMap", "CronJob", "NetworkPolicy"),
)
_LEAVING_SECONDS = 10.0
_QUIET_SECONDS = 0.4  # a passing state is worth a line only when it lasts


def claim_namespace(api: Api, wanted: Manifest) -> None:
    """Make the app's namespace, or take it as it is where it is ours.

    Raises ConflictError where one of that name belongs to somebody else: an app must never move in there.
    """
    name = wanted["metadata"]["name"]
    found = api.get("Namespace", name)
    if found is None:
        api.apply(wanted)
        return
    labels = found["metadata"].get("labels") or {}
    if labels.get(MANAGED_LABEL) != MANAGER:
        raise ConflictError(
            f"namespace {name} is there already and is not gitreceive's",
            hint=f"set another kubernetes.namespace_prefix, or hand it over: kubectl label namespace {name} {OWNED}",
        )
    if found.get("status", {}).get("phase") == "Terminating":
        raise ConflictError(f"namespace {name} is being removed", hint="try again when it is gone")
    if any(labels.get(key) != value for key, value in wanted["metadata"]["labels"].items()):
        api.apply(wanted)


def divided(objects: Iterable[Manifest], release: Release) -> tuple[list[Manifest], list[Manifest]]:
    """What is applied at once, and what only when all is healthy: the Service that leads visitors to the page of maintenance, and what
    runs by the clock, so that it never runs a release that was put back.
    """
    kinds = {"CronJob", "Service"} if release.settings.maintenance.on else {"CronJob"}
    objects = list(objects)
    later = [item for item in objects if item["kind"] in kinds]
    return [i for i in objects if i not in later], later


def apply_release(api: Api, objects: Iterable[Manifest], watch: NamespaceWatch) -> dict[str, int]:
    """Apply all but the namespace; the generation of each Deployment. ``watch`` is begun and shows what was there."""
    rest = [item for item in objects if item["kind"] != "Namespace"]
    support = [item for item in rest if item["kind"] != "Deployment"]
    deployments = [item for item in rest if item["kind"] == "Deployment"]
    with ThreadPoolExecutor(max_workers=8) as pool:
        scalers = pool.submit(autoscaling.scalers, api, watch.namespace)
        list(pool.map(api.apply, support))
        watch.wait_until_listed()
        live = watch.snapshot()[1].deployments
        taken = autoscaling.hand_over(api, watch.namespace, rest, live, scalers.result())
        for item in deployments:
            strategies.settle(api, item, live.get(item["metadata"]["name"]))
        applied = list(pool.map(partial(_apply_deployment, api), deployments))
        for name in taken:
            api.take_replicas(name, watch.namespace, None)
    return {item["metadata"]["name"]: item["metadata"]["generation"] for item in applied}


def _apply_deployment(api: Api, item: Manifest) -> Manifest:
    try:
        return api.apply(item)
    except RolloutError as error:
        if "must specify a handler type" not in error.message:
            raise
        api.drop_probes(item)
        return api.apply(item)


def await_healthy(
    api: Api,
    watch: NamespaceWatch,
    applied: Mapping[str, int],
    log: Log,
    *,
    cancel: Cancellation,
    deadline: float,
) -> None:
    """Return when every process is up to date and ready and nothing older is left.

    Raises RolloutError with the cluster's own words, the last lines of the process at fault written to the log before;
    CanceledError.
    """
    patience, narrator = Patience(), Narrator(log)
    end = time.monotonic() + deadline
    with cancel.stopping(watch.wake):
        while True:
            cancel.raise_if_requested()
            version, snapshot = watch.snapshot()
            states = [look(process, generation, snapshot) for process, generation in applied.items()]
            now = time.monotonic()
            narrator.tell(states, now)
            if all(state.done for state in states):
                return
            problem = patience.overdue((p for state in states for p in state.problems), now)
            if problem or now >= end:
                watch.raise_if_lost()
                raise _failure(api, watch.namespace, log, problem or _late(states, deadline))
            watch.wait(version, min(0.5, end - now))


def remove_surplus(api: Api, namespace: str, objects: Iterable[Manifest], drop: Iterable[str] = ()) -> None:
    """Delete what is gitreceive's in the namespace and in no object of ``objects``; of config, what the cluster's own history of
    releases does not name. ``drop`` is config that goes unless something runs with it. Volumes stay, whatever mounts them or not.
    """
    wanted = {(item["kind"], item["metadata"]["name"]) for item in objects}
    kinds = (*_REMOVED, *filter(api.serves, ("HTTPRoute", "Route")))
    with ThreadPoolExecutor(max_workers=8) as pool:
        configs = pool.submit(api.list, "Secret", namespace, f"{OWNED},{KIND_LABEL}=config")
        brought = pool.submit(api.list, "Secret", namespace, f"{OWNED},{KIND_LABEL}={CERTIFICATE_KIND}")
        replica_sets = pool.submit(api.list, "ReplicaSet", namespace, OWNED)
        by_clock = pool.submit(api.list, "Pod", namespace, f"{OWNED},{KIND_LABEL}={CRON}")
        found = {kind: pool.submit(api.list, kind, namespace, OWNED) for kind in kinds}
        surplus = [
            (kind, item["metadata"]["name"])
            for kind in kinds
            for item in found[kind].result()["items"]
            if (kind, item["metadata"]["name"]) not in wanted
        ]
        staying = _staying(replica_sets.result()["items"], {n for kind, n in surplus if kind == "Deployment"})
        kept = {name for kind, name in wanted if kind == "Secret"} | _kept_configs(staying, set(drop))
        kept |= _starting_configs(by_clock.result()["items"])
        names = {item["metadata"]["name"] for each in (configs, brought) for item in each.result()["items"]}
        surplus += [("Secret", name) for name in sorted(names - kept)]
        list(pool.map(lambda item: api.delete(item[0], item[1], namespace), surplus))
    _await_leaving(api, namespace, {name for kind, name in surplus if kind == "Deployment"})


class Narrator:
    """Says how far the processes are: only changes, and passing states only when they last."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._said: dict[str, State] = {}
        self._pending: dict[str, tuple[str, float]] = {}

    def tell(self, states: Iterable[State], now: float) -> None:
        """``now``: seconds on a clock that only grows."""
        for state in states:
            said = self._said.get(state.process)
            if said and str(said) == str(state):
                continue
            text, since = self._pending.get(state.process, ("", now))
            if text != str(state):
                since = now
                self._pending[state.process] = (str(state), now)
            advanced = state.ready and (said is None or said.ready != state.ready)
            if advanced or (state.doing and now - since >= _QUIET_SECONDS):
                self._log.detail(str(state))
                self._said[state.process] = state


# --- failing --------------------------------------------------------------------------------------------------------


def _late(states: Iterable[State], deadline: float) -> Problem:
    state = next(state for state in states if not state.done)
    if state.problems:
        return state.problems[0]
    doing = f" ({state.doing})" if state.doing else ""
    starting = state.doing.startswith("starting")
    return Problem(
        state.process,
        "late",
        f"{state.process} is not ready after {deadline:g} s{doing}",
        patience=0,
        hint="web must listen on 0.0.0.0 and the port in $PORT"
        if starting and state.process == "web"
        else "",
        pod=state.pod,
    )


def _failure(api: Api, namespace: str, log: Log, problem: Problem) -> RolloutError:
    lines = b""
    if problem.detail and problem.detail not in problem.text:
        log.detail(f"{problem.process}: {problem.detail}")
    if problem.pod:
        lines = last_lines(api, namespace, problem.pod, ended=problem.kind == "crash")
        if lines:
            log.detail(f"last lines of {problem.pod}:")
            log.write(lines)
    return RolloutError(problem.text, hint=problem.hint or hint_of_crash(lines))


def last_lines(api: Api, namespace: str, pod: str, *, ended: bool) -> bytes:
    """The end of a container's output: of the one that ended last, or of the one that runs. Empty where nothing can be had."""
    query = {"tailLines": str(_TAIL_LINES), "limitBytes": str(1 << 16), "timestamps": "true"}
    # Without `previous` the API shows the run that goes on, or else the one that ended last.
    for extra in ({}, {"previous": "true"}) if ended else ({},):
        try:
            answer = api.read_log(namespace, pod, query | extra)
        except GitreceiveError:
            continue  # the verdict matters more than its illustration
        lines = [text for _, text in stamped([answer])]
        if lines:
            return b"\n".join(lines) + b"\n"
    return b""


# --- clearing up ----------------------------------------------------------------------------------------------------


def _await_leaving(api: Api, namespace: str, processes: set[str]) -> None:
    """The cluster's garbage collector stops the pods of a Deployment that is gone; wait until it has told them all."""
    selector = f"{OWNED},{COMPONENT_LABEL} in ({','.join(sorted(processes))})"
    end = time.monotonic() + _LEAVING_SECONDS
    while processes and time.monotonic() < end:
        pods = api.list("Pod", namespace, selector)["items"]
        if all("deletionTimestamp" in pod["metadata"] for pod in pods):
            return
        time.sleep(0.05)


def _staying(replica_sets: Iterable[Manifest], leaving: set[str]) -> list[Manifest]:
    """Those of Deployments that are not leaving."""
    return [
        item
        for item in replica_sets
        if not {owner["name"] for owner in item["metadata"].get("ownerReferences") or []} & leaving
    ]


def _kept_configs(replica_sets: Iterable[Manifest], drop: set[str]) -> set[str]:
    """Config of pods that run, and so may be started again; and but for ``drop``, of those that ran (revisionHistoryLimit)."""
    kept = set()
    for item in replica_sets:
        named = _named_configs(item["spec"]["template"]["spec"])
        kept |= named if item["spec"].get("replicas", 0) else named - drop
    return kept


def _starting_configs(pods: Iterable[Manifest]) -> set[str]:
    """Config of those whose container may not have begun yet."""
    starting = [pod for pod in pods if pod.get("status", {}).get("phase", "Pending") == "Pending"]
    return {name for pod in starting for name in _named_configs(pod["spec"])}


def _named_configs(pod: Manifest) -> set[str]:
    return {
        source["secretRef"]["name"]
        for container in pod["containers"]
        for source in container.get("envFrom", [])
        if "secretRef" in source
    }
