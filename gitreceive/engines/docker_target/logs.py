"""What an app's containers wrote, as lines by time."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Self

from gitreceive.engines.docker_target.containers import Container
from gitreceive.engines.docker_target.engine import Engine, Output
from gitreceive.errors import GitreceiveError
from gitreceive.model import LogLine, LogQuery

_LOOK_SECONDS = 0.5
_WAITING_LINES = 10_000  # a slow reader holds up to these; more waits in Docker

Containers = Callable[[], Iterable[Container]]
_Raw = tuple[
    str, str
]  # the engine's own time (RFC 3339, nanoseconds, so that it sorts as text), and the line


def read(engine: Engine, containers: Iterable[Container], query: LogQuery) -> Iterator[LogLine]:
    """What there is, by time."""
    asked_for = [c for c in containers if _wanted(c, query)]
    return iter(_newest({c: _recent(engine, c, query) for c in asked_for}, query.lines))


def follow(engine: Engine, containers: Containers, query: LogQuery) -> Iterator[LogLine]:
    """The same, and then what comes, over restarts and releases. ``close`` ends it, from any thread."""
    return _Follower(engine, containers, query)


class _Follower(Iterator[LogLine]):
    def __init__(self, engine: Engine, containers: Containers, query: LogQuery) -> None:
        self._engine = engine
        self._containers = containers
        self._query = query
        self._closed = threading.Event()
        self._arrived: queue.Queue[LogLine | GitreceiveError] = queue.Queue(_WAITING_LINES)
        self._lock = threading.Lock()
        self._streams: dict[str, Output] = {}
        self._told: dict[str, str] = {}  # the time of each container's last line
        self._since: dict[str, float] = {}
        self._first = self._begin()
        threading.Thread(target=self._watch, name="logs", daemon=True).start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LogLine:
        if self._first:
            return self._first.pop(0)
        while not self._closed.is_set():
            try:
                arrived = self._arrived.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if isinstance(arrived, GitreceiveError):
                self.close()
                raise arrived
            return arrived
        raise StopIteration

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            for stream in self._streams.values():
                stream.close()

    def _begin(self) -> list[LogLine]:
        began = time.time()
        recent = {
            c: _recent(self._engine, c, self._query) for c in self._containers() if _wanted(c, self._query)
        }
        for container, lines in recent.items():
            self._since[container.id] = began
            if lines:
                self._told[container.id] = lines[-1][0]
        return _newest(recent, self._query.lines)

    def _watch(self) -> None:
        """Read every container that runs, or has run unseen."""
        heard: set[str] = set(self._since)
        try:
            while not self._closed.is_set():
                for container in self._containers():
                    fresh = container.id not in heard or container.state in {"running", "restarting"}
                    if fresh and _wanted(container, self._query) and container.id not in self._streams:
                        heard.add(container.id)
                        self._tail(container)
                self._closed.wait(_LOOK_SECONDS)
        except GitreceiveError as error:
            self._put(error)

    def _tail(self, container: Container) -> None:
        told = self._told.get(container.id)
        since = int(_time(told).timestamp()) if told else self._since.get(container.id)
        stream = self._engine.log(container.id, tail=None, since=since, follow=True, timestamps=True)
        with self._lock:
            self._streams[container.id] = stream
        threading.Thread(target=self._hear, args=(container, stream), name="logs", daemon=True).start()

    def _hear(self, container: Container, stream: Output) -> None:
        try:
            for raw in _lines(stream):
                if raw[0] > self._told.get(container.id, ""):
                    self._told[container.id] = raw[0]
                    self._put(_line(container, raw))
        finally:
            with self._lock:
                self._streams.pop(container.id).close()

    def _put(self, arrived: LogLine | GitreceiveError) -> None:
        while not self._closed.is_set():
            try:
                self._arrived.put(arrived, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return


def _wanted(container: Container, query: LogQuery) -> bool:
    asked = query.process is None or container.place.process == query.process
    return asked and not container.place.reserved


def _recent(engine: Engine, container: Container, query: LogQuery) -> list[_Raw]:
    since = time.time() - query.since_seconds if query.since_seconds is not None else None
    output = engine.log(container.id, tail=query.lines, since=since, follow=False, timestamps=True)
    try:
        return list(_lines(output))
    finally:
        output.close()


def _newest(found: dict[Container, list[_Raw]], lines: int | None) -> list[LogLine]:
    ordered = sorted(
        ((raw, container) for container, raws in found.items() for raw in raws), key=lambda pair: pair[0][0]
    )
    kept = ordered if lines is None else ordered[max(0, len(ordered) - lines) :]
    return [_line(container, raw) for raw, container in kept]


def _lines(output: Iterable[bytes]) -> Iterator[_Raw]:
    """Whole lines out of pieces, and what is left at the end."""
    rest = b""
    for piece in output:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (_raw(line) for line in whole)
    if rest:
        yield _raw(rest)


def _raw(line: bytes) -> _Raw:
    moment, _, text = line.partition(b" ")
    return moment.decode("ascii", "replace"), text.rstrip(b"\r").decode("utf-8", "replace")


def _line(container: Container, raw: _Raw) -> LogLine:
    return LogLine(_time(raw[0]), container.instance, container.place.process, raw[1])


def _time(moment: str) -> datetime:
    return datetime.fromisoformat(moment[:26] + "+00:00")
