"""What the cluster remembers of runs by the clock: Jobs of CronJobs, and the pods of these."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from gitreceive.engines.kubernetes_target import once
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.statuses import release_of
from gitreceive.errors import RolloutError
from gitreceive.manifests.rendering import CRON, ENTRY_LABEL, KIND_LABEL, OWNED
from gitreceive.manifests.templating import Manifest
from gitreceive.model import CronRun

_SELECTOR = f"{OWNED},{KIND_LABEL}={CRON}"


def cron_runs(api: Api, namespace: str) -> tuple[CronRun, ...]:
    """Those that are kept, oldest first."""
    jobs = api.list("Job", namespace, _SELECTOR)["items"]
    pods = api.list("Pod", namespace, _SELECTOR)["items"]
    return joined(jobs, pods)


def joined(jobs: Iterable[Manifest], pods: Iterable[Manifest]) -> tuple[CronRun, ...]:
    """What each Job says, with what its pod does, oldest first."""
    newest_last = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    of_job = {(pod["metadata"].get("labels") or {}).get("job-name"): pod for pod in newest_last}
    found = [_run(job, of_job.get(job["metadata"]["name"])) for job in jobs]
    return tuple(sorted(found, key=lambda run: (run.started, run.name)))


def _run(job: Manifest, pod: Manifest | None) -> CronRun:
    metadata, status = job["metadata"], job.get("status") or {}
    code, reason = _outcome(job, pod)
    failed, ended = bool(code) or bool(reason), code is not None or bool(reason)
    up = pod is not None and once.is_running(pod)
    times = [*_end_times(job, pod)] if ended else []
    return CronRun(
        entry=(metadata.get("labels") or {}).get(ENTRY_LABEL, ""),
        name=pod["metadata"]["name"] if pod else metadata["name"],
        release=release_of(job),
        state="failed" if failed else "ended" if ended else "up" if up else "starting",
        started=datetime.fromisoformat(status.get("startTime") or metadata["creationTimestamp"]),
        ended=datetime.fromisoformat(times[0]) if times else None,
        exit_code=code,
        reason=reason,
    )


def _outcome(job: Manifest, pod: Manifest | None) -> tuple[int | None, str]:
    """The exit code, where there is one, and why it failed, where that is not the process's own doing."""
    try:
        code = once.exit_code(pod) if pod else None
    except RolloutError as error:
        return None, error.message
    if code is not None:
        return code, "ran out of memory (OOMKilled)" if pod and _killed_for_memory(pod) else ""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["status"] == "True" and condition["type"] == "Complete":
            return 0, ""
        if condition["status"] == "True" and condition["type"] == "Failed":
            told = condition.get("message") or condition.get("reason") or "the cluster does not say why"
            return None, " ".join(told.split())[:200]
    return None, ""


def _killed_for_memory(pod: Manifest) -> bool:
    return any(ended.get("reason") == "OOMKilled" for ended in _terminated(pod))


def _end_times(job: Manifest, pod: Manifest | None) -> Iterator[str]:
    """The most telling first."""
    for ended in _terminated(pod) if pod else ():
        if "finishedAt" in ended:
            yield ended["finishedAt"]
    status = job.get("status") or {}
    if "completionTime" in status:
        yield status["completionTime"]
    for condition in status.get("conditions") or []:
        if "lastTransitionTime" in condition:
            yield condition["lastTransitionTime"]


def _terminated(pod: Manifest) -> Iterator[Manifest]:
    for status in pod.get("status", {}).get("containerStatuses") or []:
        if ended := status.get("state", {}).get("terminated"):
            yield ended
