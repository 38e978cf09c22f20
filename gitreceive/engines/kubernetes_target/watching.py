"""A namespace's objects, kept up to date by watches."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.refusals import ExpiredError
from gitreceive.engines.kubernetes_target.streams import LineStream
from gitreceive.engines.kubernetes_target.verdict import Snapshot
from gitreceive.errors import GitreceiveError, UnavailableError
from gitreceive.manifests.templating import Manifest

_WATCH_SECONDS = 20  # a connection that died without a word hides no more than that
_OVERDUE_SECONDS = 10.0
_PAUSE_SECONDS = 0.5
KINDS = ("Deployment", "ReplicaSet", "Pod", "Event")


class NamespaceWatch:
    """While inside, ``snapshot`` follows the cluster; one thread for each kind.

    A watch that is lost or expired is listed again. Events that were there before are not shown.
    """

    def __init__(self, api: Api, namespace: str, kinds: Iterable[str] = KINDS) -> None:
        self._api = api
        self.namespace = namespace
        self._changed = threading.Condition()
        self._version = 0
        self._objects: dict[str, dict[str, Manifest]] = {kind: {} for kind in KINDS}
        self._old_events: set[tuple[str, int]] | None = None
        self._listed: set[str] = set()
        self._failure: GitreceiveError | None = None
        self._lost: dict[str, UnavailableError] = {}
        self._stop = threading.Event()
        self._streams: dict[str, LineStream] = {}
        self._threads = {
            kind: threading.Thread(target=self._keep, args=(kind,), name=f"watch-{kind}", daemon=True)
            for kind in kinds
        }

    def __enter__(self) -> Self:
        for thread in self._threads.values():
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with self._changed:
            streams = list(self._streams.values())
        for stream in streams:
            stream.interrupt()
        for thread in self._threads.values():
            thread.join(timeout=5)

    def wait_until_listed(self, timeout: float = 30) -> None:
        """Raises what keeps a kind from being listed; UnavailableError where that takes too long."""
        end = time.monotonic() + timeout
        with self._changed:
            while self._listed != set(self._threads):
                self._raise_failure()
                if not self._changed.wait(max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    raise UnavailableError("the cluster does not list its objects in time")

    def snapshot(self) -> tuple[int, Snapshot]:
        """The objects and a number that grows with each change. Raises what ended a watch for good."""
        with self._changed:
            self._raise_failure()
            copies = {kind: dict(objects) for kind, objects in self._objects.items()}
            return self._version, Snapshot(
                copies["Deployment"], copies["ReplicaSet"], copies["Pod"], copies["Event"]
            )

    def raise_if_lost(self) -> None:
        """Raise UnavailableError while what is shown may be old, because the cluster does not answer."""
        for error in list(self._lost.values()):
            raise error

    def wait(self, version: int, timeout: float) -> None:
        """Until something changes after ``version``, or somebody calls ``wake``."""
        with self._changed:
            if self._version == version:
                self._changed.wait(timeout)

    def wake(self) -> None:
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    # --- one thread for each kind -----------------------------------------------------------------------------------

    def _keep(self, kind: str) -> None:
        while not self._stop.is_set():
            try:
                version = self._list(kind)
                while not self._stop.is_set():
                    version = self._follow(kind, version)
            except ExpiredError:
                continue
            except UnavailableError as error:
                self._lost[kind] = error
                self._stop.wait(_PAUSE_SECONDS)
            except GitreceiveError as error:
                self._fail(error)
                return

    def _list(self, kind: str) -> str:
        found = self._api.list(kind, self.namespace)
        items = {item["metadata"]["name"]: item for item in found["items"]}

        def replace() -> None:
            if kind == "Event":
                if self._old_events is None:
                    self._old_events = {_occurrence(item) for item in items.values()}
                fresh = {k: v for k, v in items.items() if _occurrence(v) not in self._old_events}
                self._objects[kind] = fresh
            else:
                self._objects[kind] = items
            self._listed.add(kind)
            self._lost.pop(kind, None)

        self._set(replace)
        return str(found["metadata"]["resourceVersion"])

    def _follow(self, kind: str, version: str) -> str:
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        path = self._api.watch_path(kind, self.namespace)
        with self._api.stream(path, query, silence=_WATCH_SECONDS + _OVERDUE_SECONDS) as lines:
            with self._changed:
                self._streams[kind] = lines
            if self._stop.is_set():
                return version
            overdue = threading.Timer(_WATCH_SECONDS + _OVERDUE_SECONDS, lines.interrupt)
            overdue.daemon = True
            overdue.start()
            try:
                for line in lines:
                    version = self._take(kind, _change(line)) or version
            finally:
                overdue.cancel()
        return version

    def _take(self, kind: str, change: Manifest) -> str:
        item = change["object"]
        if change["type"] == "ERROR":
            if item.get("code") == 410:
                raise ExpiredError(str(item.get("message", "expired")))
            raise UnavailableError(f"the watch of {kind}s ended: {item.get('message', 'no reason given')}")
        if change["type"] == "DELETED":
            self._set(lambda: self._objects[kind].pop(item["metadata"]["name"], None))
        elif change["type"] != "BOOKMARK":
            self._set(lambda: self._objects[kind].__setitem__(item["metadata"]["name"], item))
        return str(item["metadata"]["resourceVersion"])

    def _set(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._version += 1
            self._changed.notify_all()

    def _fail(self, error: GitreceiveError) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure


def _change(line: bytes) -> Manifest:
    try:
        change: Manifest = json.loads(line)
    except ValueError as error:
        raise UnavailableError("a watch of the cluster broke off in the middle of a line") from error
    return change


def _occurrence(event: Manifest) -> tuple[str, int]:
    return str(event["metadata"]["uid"]), int(event.get("count") or 1)
