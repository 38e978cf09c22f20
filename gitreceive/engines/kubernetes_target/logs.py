"""What an app's containers print."""

import heapq
import queue
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from gitreceive.engines.kubernetes_target.api import Api, LineStream
from gitreceive.engines.kubernetes_target.watching import NamespaceWatch
from gitreceive.errors import GitreceiveError, RolloutError, UnavailableError
from gitreceive.manifests import COMPONENT_LABEL, ONCE_LABEL, OWNED, Manifest
from gitreceive.model import LogLine, LogQuery

_PAUSE_SECONDS = 0.5
_ATTEMPTS = 20
_BUFFERED_LINES = 10_000


@dataclass(frozen=True)
class Container:
    """One run of a pod's container. ``previous``: it has ended and another has taken its place."""

    namespace: str
    pod: str
    process: str
    id: str = ""
    previous: bool = False


def read(api: Api, namespace: str, query: LogQuery) -> list[LogLine]:
    """What is there now, by time; the last ``query.lines`` of all together."""
    pods = api.list("Pod", namespace, OWNED)["items"]
    parts = [_history(api, container, query) for container in _chosen(pods, query)]
    lines = list(heapq.merge(*parts, key=lambda line: line.time))
    return lines if query.lines is None else lines[max(0, len(lines) - query.lines) :]


def follow(api: Api, namespace: str, query: LogQuery) -> Iterator[LogLine]:
    """``read``, and then each line as it comes, over restarts, new pods and releases, until the iterator is closed."""
    with NamespaceWatch(api, namespace, ("Pod",)) as watch:
        watch.wait_until_listed()
        history = read(api, namespace, query)
        yield from history
        follower = _Follower(api, watch, query, {line.instance: line.time for line in history})
        try:
            yield from follower.lines()
        finally:
            follower.stop()


class Opened:
    """The stream that a reader is in, so that another thread can end it."""

    lines: LineStream | None = None

    def interrupt(self) -> None:
        if self.lines:
            self.lines.interrupt()


def stream(
    api: Api, container: Container, stop: threading.Event, opened: Opened, since: datetime | None = None
) -> Iterator[tuple[datetime, bytes]]:
    """(time, line) of one container, later than ``since``, until it ends; taken up again where the connection breaks."""
    last = since
    for _ in range(_ATTEMPTS):
        query, seen = _query(container) | {"follow": "true"}, last
        if seen:  # whole seconds is all that the API takes
            query["sinceTime"] = seen.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            with api.stream(api.log_path(container.namespace, container.pod), query, silence=3600) as lines:
                opened.lines = lines
                for time, text in stamped(lines):
                    if stop.is_set():
                        return
                    if seen is None or time > seen:
                        last = time
                        yield time, text
            return
        except UnavailableError:
            stop.wait(_PAUSE_SECONDS)
        except RolloutError:
            return  # the container is gone


class _Follower:
    """Threads that read each container that appears into one queue."""

    def __init__(self, api: Api, watch: NamespaceWatch, query: LogQuery, last: dict[str, datetime]) -> None:
        self._api = api
        self._watch = watch
        self._query = query
        self._last = last
        self._merged: queue.Queue[LogLine | GitreceiveError] = queue.Queue(_BUFFERED_LINES)
        self._stop = threading.Event()
        self._readers: dict[str, tuple[threading.Thread, Opened]] = {}
        self._keeper = threading.Thread(target=self._keep_readers, name="logs", daemon=True)
        self._keeper.start()

    def lines(self) -> Iterator[LogLine]:
        while True:
            got = self._merged.get()
            if isinstance(got, GitreceiveError):
                raise got
            yield got

    def stop(self) -> None:
        self._stop.set()
        self._watch.wake()
        self._keeper.join(timeout=5)
        for thread, opened in self._readers.values():
            opened.interrupt()
            thread.join(timeout=5)

    def _keep_readers(self) -> None:
        try:
            while not self._stop.is_set():
                version, snapshot = self._watch.snapshot()
                for container in _chosen(snapshot.pods.values(), self._query):
                    if container.id not in self._readers:
                        opened = Opened()
                        thread = threading.Thread(target=self._read, args=(container, opened), daemon=True)
                        self._readers[container.id] = thread, opened
                        thread.start()
                self._watch.wait(version, 5)
        except GitreceiveError as error:
            self._merged.put(error)

    def _read(self, container: Container, opened: Opened) -> None:
        since = self._last.get(container.pod)
        for time, text in stream(self._api, container, self._stop, opened, since):
            self._put(_line(container, time, text))

    def _put(self, line: LogLine) -> None:
        """Waits where the reader is slow, so that memory stays bounded."""
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._merged.put(line, timeout=0.5)
                return


# --- which containers -----------------------------------------------------------------------------------------------


def _chosen(pods: Iterable[Manifest], query: LogQuery) -> Iterator[Container]:
    for pod in pods:
        process = _process(pod)
        if process and query.process in {None, process}:
            yield from _containers(pod, process)


def _process(pod: Manifest) -> str:
    """The process type that a pod runs; empty where it is none of an app's."""
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get(COMPONENT_LABEL) or labels.get(ONCE_LABEL) or "")


def _containers(pod: Manifest, process: str) -> Iterator[Container]:
    """The pod's runs that have output: the one before the last, and the last."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    for status in pod.get("status", {}).get("containerStatuses") or []:
        before = (status.get("lastState", {}).get("terminated") or {}).get("containerID")
        state = status.get("state", {})
        now = (state.get("terminated") or {}).get("containerID") or (
            status.get("containerID") if state.get("running") else None
        )
        if before and before != now:
            yield Container(namespace, name, process, before, previous=bool(now))
        if now:
            yield Container(namespace, name, process, now)


# --- lines ----------------------------------------------------------------------------------------------------------


def _history(api: Api, container: Container, query: LogQuery) -> list[LogLine]:
    options = _query(container)
    if query.lines is not None:
        options["tailLines"] = str(query.lines)
    if query.since_seconds is not None:
        options["sinceSeconds"] = str(max(1, round(query.since_seconds)))
    raw = api.read_log(container.namespace, container.pod, options)
    return [_line(container, time, text) for time, text in stamped(raw.split(b"\n"))]


def _query(container: Container) -> dict[str, str]:
    query = {"timestamps": "true", "container": container.process}
    return query | ({"previous": "true"} if container.previous else {})


def stamped(lines: Iterable[bytes]) -> Iterator[tuple[datetime, bytes]]:
    """Lines of containers. What has no time stamp is the kubelet's own word about a file that is gone."""
    for line in lines:
        stamp, _, text = line.partition(b" ")
        if _STAMP.fullmatch(stamp):
            yield datetime.fromisoformat(stamp.decode("ascii")), text


_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")  # RFC 3339


def _line(container: Container, time: datetime, text: bytes) -> LogLine:
    return LogLine(time, container.pod, container.process, text.decode("utf-8", "replace").rstrip("\r"))
