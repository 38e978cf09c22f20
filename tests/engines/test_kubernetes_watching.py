"""Watches that break, expire and are refused, without a cluster."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pytest

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.watching import NamespaceWatch
from gitreceive.errors import RolloutError, UnavailableError
from gitreceive.manifests.templating import Manifest


def an_object(name: str, version: int = 1, **more: Any) -> Manifest:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}, **more}


class ScriptedApi:
    """Answers a list with what there is, and each watch with the next of its scripts; the last one stays open."""

    def __init__(self, *watches: "list[Manifest] | Exception") -> None:
        self.there: list[Manifest] = []
        self.later: list[Manifest] = []  # what a second list shows besides
        self.watches = list(watches)
        self.lists = 0
        self.refuse: Exception | None = None
        self.asked: list[str] = []
        self.closed = threading.Event()

    def list(self, kind: str, namespace: str, selector: str = "") -> Manifest:
        self.lists += 1
        if self.refuse:
            raise self.refuse
        return {
            "metadata": {"resourceVersion": "10"},
            "items": self.there + (self.later if self.lists > 1 else []),
        }

    def watch_path(self, kind: str, namespace: str) -> str:
        return f"/{kind}"

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str], *, silence: float) -> Iterator["ScriptedLines"]:
        self.asked.append(query["resourceVersion"])
        script = self.watches.pop(0) if self.watches else None
        if isinstance(script, Exception):
            raise script
        yield ScriptedLines(script, self.closed)


class ScriptedLines:
    def __init__(self, script: "list[Manifest] | None", closed: threading.Event) -> None:
        self._script = script
        self._closed = closed

    def __iter__(self) -> Iterator[bytes]:
        for change in self._script or []:
            yield json.dumps(change).encode()
        if self._script is None:
            self._closed.wait(10)

    def interrupt(self) -> None:
        self._closed.set()


def watching(api: ScriptedApi, kind: str = "Pod") -> NamespaceWatch:
    return NamespaceWatch(cast("Api", api), "app-shop", (kind,))


def wait_for(watch: NamespaceWatch, condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        watch.wait(watch.snapshot()[0], 0.05)
    raise AssertionError("it did not come about")


def test_changes_are_followed_from_the_listed_version_on() -> None:
    changes = [
        {"type": "ADDED", "object": an_object("new", 11)},
        {"type": "DELETED", "object": an_object("old", 12)},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "15"}}},
    ]
    api = ScriptedApi(changes)
    api.there = [an_object("old")]
    with watching(api) as watch:
        wait_for(watch, lambda: set(watch.snapshot()[1].pods) == {"new"})
        wait_for(watch, lambda: len(api.asked) == 2)
    assert api.asked == ["10", "15"]
    assert api.lists == 1


def test_an_expired_watch_is_listed_again() -> None:
    api = ScriptedApi([{"type": "ERROR", "object": {"code": 410, "message": "too old"}}])
    api.later = [an_object("new")]
    with watching(api) as watch:
        wait_for(watch, lambda: "new" in watch.snapshot()[1].pods)
    assert api.lists == 2


def test_a_watch_that_breaks_is_taken_up_again() -> None:
    api = ScriptedApi(UnavailableError("gone"))
    with watching(api) as watch:
        wait_for(watch, lambda: api.lists == 2)
        watch.raise_if_lost()


def test_a_cluster_that_stays_away_is_said_to_be_away() -> None:
    api = ScriptedApi(UnavailableError("gone"))
    with watching(api) as watch:
        watch.wait_until_listed()
        api.refuse = UnavailableError("connection refused")
        wait_for(watch, lambda: api.lists >= 2)
        with pytest.raises(UnavailableError):
            watch.raise_if_lost()


def test_a_refusal_ends_the_watch_with_the_clusters_words() -> None:
    api = ScriptedApi()
    api.refuse = RolloutError("pods is forbidden")
    with watching(api) as watch, pytest.raises(RolloutError, match="pods is forbidden"):
        watch.wait_until_listed()


def test_events_of_before_are_not_shown_unless_they_happen_again() -> None:
    old, again = an_object("old", count=1), an_object("again", count=1)
    api = ScriptedApi([{"type": "MODIFIED", "object": an_object("again", 11, count=2)}])
    api.there = [old, again]
    with watching(api, "Event") as watch:
        wait_for(watch, lambda: set(watch.snapshot()[1].events) == {"again"})


def test_leaving_ends_the_thread_at_once() -> None:
    with watching(ScriptedApi()) as watch:
        watch.wait_until_listed()
        assert _watches()
    assert _watches() == []


def _watches() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("watch-")]
