"""Run one process to its end in a pod of its own."""

import secrets
import threading
import time
from collections.abc import Iterable

from gitreceive.cancellation import Cancellation
from gitreceive.engines.kubernetes_target import logs
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.verdict import Patience, pod_problems
from gitreceive.engines.kubernetes_target.watching import NamespaceWatch
from gitreceive.errors import RolloutError
from gitreceive.manifests.rendering import ONCE_LABEL, OWNED
from gitreceive.manifests.templating import Manifest
from gitreceive.model import ONE_AT_A_TIME, ProcessType, Release
from gitreceive.ports import Log

_GONE_SECONDS = 30.0


def pod_name(release: Release, process: ProcessType) -> str:
    return f"{process.name}-{release.label}-{secrets.token_hex(3)}"


def run(
    api: Api,
    objects: Iterable[Manifest],
    process: ProcessType,
    log: Log,
    *,
    cancel: Cancellation,
    deadline: float,
) -> int:
    """Apply ``objects``, the Pod among them last, and follow it; its exit code. The pod is gone afterwards, whatever happened.

    Raises RolloutError with the cluster's words where it does not start within ``deadline`` seconds, CanceledError.
    """
    *support, pod = (item for item in objects if item["kind"] != "Namespace")
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    for item in support:
        api.apply(item)
    if process.name in ONE_AT_A_TIME:
        _remove_leftovers(api, namespace, process)
    with NamespaceWatch(api, namespace, ("Pod", "Event")) as watch, cancel.stopping(watch.wake):
        watch.wait_until_listed()
        try:
            api.create(pod)
            await_start(watch, name, process, cancel, deadline)
            return _relay(api, watch, logs.Container(namespace, name, process.name), log, cancel)
        finally:
            api.delete("Pod", name, namespace, grace=0 if cancel.requested else None)


def _remove_leftovers(api: Api, namespace: str, process: ProcessType) -> None:
    """A server that died left its run behind: two migrations at once must not be."""
    selector = f"{OWNED},{ONCE_LABEL}={process.name}"
    end = time.monotonic() + _GONE_SECONDS
    while left := api.list("Pod", namespace, selector)["items"]:
        for pod in left:
            api.delete("Pod", pod["metadata"]["name"], namespace)
        if time.monotonic() > end:
            raise RolloutError(
                f"an earlier run of {process.name} does not end", hint=f"see kubectl get pods -n {namespace}"
            )
        time.sleep(0.2)


def await_start(
    watch: NamespaceWatch, name: str, process: ProcessType, cancel: Cancellation, deadline: float
) -> None:
    patience, end = Patience(), time.monotonic() + deadline
    while True:
        cancel.raise_if_requested()
        version, snapshot = watch.snapshot()
        pod = snapshot.pods.get(name)
        problems = pod_problems(process.name, pod, snapshot.events.values()) if pod else ()
        if pod and (exit_code(pod) is not None or is_running(pod)):
            return
        now = time.monotonic()
        if problem := patience.overdue((p for p in problems if p.kind != "crash"), now):
            raise RolloutError(problem.text, hint=problem.hint)
        if now >= end and problems:
            raise RolloutError(problems[0].text, hint=problems[0].hint)
        if now >= end:
            raise RolloutError(f"{process.name} has not started after {deadline:g} s")
        watch.wait(version, 0.5)


def _relay(api: Api, watch: NamespaceWatch, container: logs.Container, log: Log, cancel: Cancellation) -> int:
    stop, opened = threading.Event(), logs.Opened()

    def interrupt() -> None:
        stop.set()
        opened.interrupt()

    with cancel.stopping(interrupt):
        for _, line in logs.stream(api, container, stop, opened):
            log.write(line + b"\n")
    return await_end(watch, container.pod, container.process, cancel)


def await_end(watch: NamespaceWatch, name: str, process: str, cancel: Cancellation) -> int:
    """Its exit code. Raises RolloutError where it did not end by itself, CanceledError."""
    while True:
        cancel.raise_if_requested()
        version, snapshot = watch.snapshot()
        pod = snapshot.pods.get(name)
        if pod is None:
            raise RolloutError(f"{process} was removed from the cluster before it ended")
        if (code := exit_code(pod)) is not None:
            return code
        watch.wait(version, 0.5)


def is_running(pod: Manifest) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return any(status.get("state", {}).get("running") for status in statuses)


def exit_code(pod: Manifest) -> int | None:
    """None while it runs. Raises RolloutError where the cluster ended it."""
    for status in pod.get("status", {}).get("containerStatuses") or []:
        if ended := status.get("state", {}).get("terminated"):
            return int(ended["exitCode"])
    status = pod.get("status", {})
    if status.get("phase") == "Failed":
        reason = status.get("message") or status.get("reason") or "no reason given"
        raise RolloutError(f"the cluster ended it: {' '.join(reason.split())[:200]}")
    return None
