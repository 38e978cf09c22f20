"""What an app's containers print."""

import heapq
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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

    pod: str
    process: str
    id: str
    previous: bool = False


def read(api: Api, namespace: str, query: LogQuery) -> list[LogLine]:
    """What is there now, by time; the last ``query.lines`` of all together."""
    pods = api.list("Pod", namespace, OWNED)["items"]
    parts = [_history(api, namespace, container, query) for container in _chosen(pods, query)]
    lines = list(heapq.merge(*parts, key=lambda line: line.time))
    return lines if query.lines is None else lines[len(lines) - min(query.lines, len(lines)) :]


def follow(api: Api, namespace: str, query: LogQuery) -> Iterator[LogLine]:
    """``read``, and then each line as it comes, over restarts, new pods and releases, until the iterator is closed."""
    stop = threading.Event()
    merged: queue.Queue[LogLine | GitreceiveError] = queue.Queue(_BUFFERED_LINES)
    readers: dict[str, _Reader] = {}
    with NamespaceWatch(api, namespace, ("Pod",)) as watch:
        watch.wait_until_listed()
        history = read(api, namespace, query)
        yield from history
        last = {line.instance: line.time for line in history}
        keeper = threading.Thread(
            target=_keep_readers,
            args=(api, namespace, query, watch, readers, last, merged, stop),
            daemon=True,
        )
        keeper.start()
        try:
            while True:
                got = merged.get()
                if isinstance(got, GitreceiveError):
                    raise got
                yield got
        finally:
            stop.set()
            watch.wake()
            keeper.join(timeout=5)
            for reader in readers.values():
                reader.stop()


def stream(
    api: Api, namespace: str, container: Container, stop: threading.Event, opened: "Opened", since: str = ""
) -> Iterator[tuple[str, bytes]]:
    """(time stamp, line) of one container until it ends, taken up again where the connection breaks."""
    last = since
    for _ in range(_ATTEMPTS):
        if stop.is_set():
            return
        query = {"follow": "true", "timestamps": "true", "container": container.process}
        if container.previous:
            query["previous"] = "true"
        if last:
            query["sinceTime"] = f"{last[:19]}Z"
        try:
            with api.stream(api.log_path(namespace, container.pod), query, silence=3600) as lines:
                opened.lines = lines
                for line in lines:
                    stamp, _, text = line.partition(b" ")
                    if (moment := stamp.decode("ascii", "replace")) > last:
                        last = moment
                        yield moment, text
            return
        except UnavailableError:
            stop.wait(_PAUSE_SECONDS)
        except RolloutError:
            return  # the container is gone


class Opened:
    """The stream that a reader is in, so that another thread can end it."""

    lines: LineStream | None = None

    def interrupt(self) -> None:
        if self.lines:
            self.lines.interrupt()


class _Reader:
    """A thread that puts a container's lines into a queue."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        container: Container,
        last: datetime | None,
        merged: "queue.Queue[Any]",
        stop: threading.Event,
    ) -> None:
        self._opened = Opened()
        since = last.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if last else ""
        self._thread = threading.Thread(
            target=self._run, args=(api, namespace, container, since, merged, stop), daemon=True
        )
        self._thread.start()

    def _run(
        self,
        api: Api,
        namespace: str,
        container: Container,
        since: str,
        merged: "queue.Queue[Any]",
        stop: threading.Event,
    ) -> None:
        for stamp, text in stream(api, namespace, container, stop, self._opened, since):
            line = _line(container, stamp, text)
            while line and not stop.is_set():
                with suppress(queue.Full):
                    merged.put(line, timeout=0.5)
                    break

    def stop(self) -> None:
        self._opened.interrupt()
        self._thread.join(timeout=5)


def _keep_readers(
    api: Api,
    namespace: str,
    query: LogQuery,
    watch: NamespaceWatch,
    readers: dict[str, _Reader],
    last: dict[str, datetime],
    merged: "queue.Queue[Any]",
    stop: threading.Event,
) -> None:
    """Begin a reader for each container that appears."""
    try:
        while not stop.is_set():
            version, snapshot = watch.snapshot()
            for container in _chosen(snapshot.pods.values(), query):
                if container.id not in readers:
                    readers[container.id] = _Reader(
                        api, namespace, container, last.get(container.pod), merged, stop
                    )
            watch.wait(version, 5)
    except GitreceiveError as error:
        merged.put(error)


def _chosen(pods: Iterable[Manifest], query: LogQuery) -> Iterator[Container]:
    for pod in pods:
        process = process_of(pod)
        if process and query.process in {None, process}:
            yield from containers(pod, process)


def process_of(pod: Manifest) -> str:
    """The process type that a pod runs; empty where it is none of an app's."""
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get(COMPONENT_LABEL) or labels.get(ONCE_LABEL) or "")


def containers(pod: Manifest, process: str) -> Iterator[Container]:
    """The pod's runs that have output: the one before the last, and the last."""
    name = pod["metadata"]["name"]
    for status in pod.get("status", {}).get("containerStatuses") or []:
        before = (status.get("lastState", {}).get("terminated") or {}).get("containerID")
        state = status.get("state", {})
        now = (state.get("terminated") or {}).get("containerID") or (
            status.get("containerID") if state.get("running") else None
        )
        if before and before != now:
            yield Container(name, process, before, previous=True)
        if now:
            yield Container(name, process, now)


def _history(api: Api, namespace: str, container: Container, query: LogQuery) -> list[LogLine]:
    options = {"timestamps": "true", "container": container.process}
    if container.previous:
        options["previous"] = "true"
    if query.lines is not None:
        options["tailLines"] = str(query.lines)
    if query.since_seconds is not None:
        options["sinceSeconds"] = str(max(1, round(query.since_seconds)))
    raw = api.read_log(namespace, container.pod, options)
    pairs = (line.partition(b" ") for line in raw.split(b"\n") if line)
    lines = (_line(container, stamp.decode("ascii", "replace"), text) for stamp, _, text in pairs)
    return [line for line in lines if line]


def _line(container: Container, stamp: str, text: bytes) -> LogLine | None:
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return None  # the kubelet's own word about a rotated or missing file
    return LogLine(time, container.pod, container.process, text.decode("utf-8", "replace").rstrip("\r"))
