"""What an app's pods print."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.refusals import DeniedError
from gitreceive.engines.kubernetes_target.streams import LineStream
from gitreceive.engines.kubernetes_target.watching import NamespaceWatch
from gitreceive.errors import RolloutError, UnavailableError
from gitreceive.manifests.rendering import COMPONENT_LABEL, ONCE_LABEL, OWNED, SOURCE_LABEL
from gitreceive.manifests.templating import Manifest
from gitreceive.model import RELEASE_PROCESS, LogLine, LogQuery, LogSource
from gitreceive.tailing import Follower, Run, read
from gitreceive.tailing.lines import SECOND, Seen, stamped

_PAUSE_SECONDS = 0.5
_ATTEMPTS = 20
_SILENCE_SECONDS = 3600.0  # of an app that prints nothing, after which its log is asked for again
_MOST_LOOKS = 5


def history(api: Api, namespace: str, query: LogQuery) -> Iterator[LogLine]:
    """What is there now, by time."""
    return iter(read(PodRuns(api, namespace), query))


class PodFollower(Follower):
    """``history``, and then each line as it comes, over restarts, new pods and releases."""

    def __init__(self, api: Api, namespace: str, query: LogQuery) -> None:
        self._watched = WatchedRuns(api, namespace).__enter__()
        try:
            super().__init__(self._watched, query)
        except BaseException:
            self._watched.__exit__(None, None, None)
            raise

    def close(self) -> None:
        super().close()
        self._watched.__exit__(None, None, None)


class PodRuns:
    """``Runs``: each run of a container in a pod of ours, named by the container's id. A node tells the cluster of a restart when it comes to it,
    and gives the new run's log at once.
    """

    late_seconds = 5.0

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def there(self) -> Sequence[Run]:
        return _runs(self._api.list("Pod", self._namespace, OWNED)["items"])

    def wait(self, seconds: float) -> None:
        """Nothing tells of changes here."""
        threading.Event().wait(seconds)

    def open(self, run: Run, *, since: int | None, tail: int | None, follow: bool) -> "PodLog":
        """Raises UnavailableError where the server may not read it: that is no log which is gone."""
        try:
            return self._open(run, since, tail, follow=follow)
        except DeniedError as error:
            raise UnavailableError(error.message, hint=error.hint) from error

    def _open(self, run: Run, since: int | None, tail: int | None, *, follow: bool) -> "PodLog":
        """The cluster tells logs apart only as a pod's current and its previous one. Which one is meant may change while it is being
        asked, so it is looked at again behind that.
        """
        previous = self._is_previous(run)
        for _ in range(_MOST_LOOKS):
            query = {"timestamps": "true", "container": run.process}
            query |= {"previous": "true"} if previous else {}
            query |= {"tailLines": str(tail)} if tail is not None else {}
            query |= {"follow": "true"} if follow else {}
            if since is not None:  # whole seconds is all that the API takes
                query["sinceTime"] = datetime.fromtimestamp(since // SECOND, UTC).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                )
            path = self._api.log_path(self._namespace, run.instance)
            log = PodLog(self._api.open(path, query, silence=_SILENCE_SECONDS))
            try:
                now = self._is_previous(run)
            except BaseException:
                log.close()
                raise
            if now == previous:
                return log
            log.close()
            previous = now
        raise UnavailableError(f"{run.instance} restarts too quickly to read its log")

    def _is_previous(self, run: Run) -> bool:
        """Raises RolloutError where the pod, or this run of it, is gone."""
        pod = self._api.get("Pod", run.instance, self._namespace)
        for container in _containers(pod) if pod else ():
            if container.id == run.log:
                return container.previous
        raise RolloutError(f"{run.instance} has no such log any more")


class WatchedRuns(PodRuns):
    """The same, kept up to date by a watch while inside."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, namespace)
        self._watch = NamespaceWatch(api, namespace, ("Pod",))
        self._version = 0

    def __enter__(self) -> Self:
        self._watch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.__exit__(kind, error, trace)
        self._watch.wake()

    def there(self) -> Sequence[Run]:
        self._watch.wait_until_listed()
        self._version, snapshot = self._watch.snapshot()
        return _runs(snapshot.pods.values())

    def wait(self, seconds: float) -> None:
        self._watch.wait(self._version, seconds)


class PodLog:
    """``OpenLog``."""

    def __init__(self, lines: LineStream) -> None:
        self._lines = lines
        self._read = False

    def __iter__(self) -> Iterator[bytes]:
        self._read = True
        try:
            yield from self._lines.chunks()
        finally:
            self._lines.close()

    def close(self) -> None:
        if self._read:
            self._lines.interrupt()  # the reader lets go of it
        else:
            self._lines.close()


# --- which containers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Container:
    """One run of a pod's container. ``previous``: it has ended and another has taken its place."""

    namespace: str
    pod: str
    process: str
    id: str = ""
    previous: bool = False
    ended: bool = False


def _runs(pods: Iterable[Manifest]) -> list[Run]:
    return [
        Run(container.id, container.pod, process, source, container.ended)
        for pod in pods
        for process, source in _printing(pod)
        for container in _containers(pod)
        if container.process == process
    ]


def _printing(pod: Manifest) -> Iterator[tuple[str, LogSource]]:
    """The process type that a pod runs, and why; nothing where it is none of an app's."""
    labels = pod["metadata"].get("labels") or {}
    if COMPONENT_LABEL in labels:
        yield str(labels[COMPONENT_LABEL]), LogSource.APP
    elif ONCE_LABEL in labels:
        once = str(labels[ONCE_LABEL])
        usual = LogSource.RELEASE if once == RELEASE_PROCESS else LogSource.RUN
        yield once, LogSource(labels.get(SOURCE_LABEL, usual))


def _containers(pod: Manifest) -> Iterator[Container]:
    """The pod's runs that have output: the one before the last, and the last."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    for status in pod.get("status", {}).get("containerStatuses") or []:
        process = status["name"]
        before = (status.get("lastState", {}).get("terminated") or {}).get("containerID")
        state = status.get("state", {})
        running = state.get("running") is not None
        now = (state.get("terminated") or {}).get("containerID") or (
            status.get("containerID") if running else None
        )
        if before and before != now:
            yield Container(namespace, name, process, before, previous=bool(now), ended=True)
        if now:
            yield Container(namespace, name, process, now, ended=not running)


# --- one container, for who runs it ---------------------------------------------------------------------------------


class Opened:
    """The stream that a reader is in, so that another thread can end it."""

    lines: LineStream | None = None

    def interrupt(self) -> None:
        if self.lines:
            self.lines.interrupt()


def stream(
    api: Api, container: Container, stop: threading.Event, opened: Opened
) -> Iterator[tuple[int, bytes]]:
    """(nanoseconds, line) of one container until it ends; taken up again where the connection breaks."""
    seen = Seen()
    query = {"timestamps": "true", "container": container.process, "follow": "true"}
    for _ in range(_ATTEMPTS):
        if seen.since is not None:
            since = datetime.fromtimestamp(seen.since // SECOND, UTC)
            query["sinceTime"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        seen.begin()
        path = api.log_path(container.namespace, container.pod)
        try:
            with api.stream(path, query, silence=_SILENCE_SECONDS) as lines:
                opened.lines = lines
                for time, text in stamped(lines.chunks()):
                    if stop.is_set():
                        return
                    if seen.is_new(time, text):
                        yield time, text
            return
        except UnavailableError:
            stop.wait(_PAUSE_SECONDS)
        except RolloutError:
            return  # the container is gone
