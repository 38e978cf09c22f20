"""A server that kills itself, by SIGKILL, at a named point in the life of a job.

The stories know nothing of it. All that a job does to the world it does through ports, so the ports are watched: each step of POINTS is told when
it begins, when it is done, and, of the long ones, when it first says something in between. ``python -m tests.crash_points`` serves
like ``gitreceive server``, dies where GITRECEIVE_TEST_CRASH_AT says, and appends what it reaches to the file GITRECEIVE_TEST_REACHED.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import click

from gitreceive import config, server, wiring
from gitreceive.ports import Builder, Ledger, LogBook, Observer, Platform, Registry, SourceStore, Target

RECEIVING = (
    "ledger.reviews begins",  # pre-receive, what was pushed lies in quarantine
    "ledger.enqueue begins",  # proc-receive, it is in the repository
    "ledger.enqueue done",  # there is a job, but nothing holds its commit
    "sources.keep done",
)
DEPLOYING = (
    "ledger.claim done",
    "sources.check_move begins",
    "ledger.advance building begins",
    "ledger.advance building done",
    "builder.build speaks",  # its container runs
    "builder.build done",
    "ledger.advance publishing done",
    "registry.publish begins",
    "registry.publish done",
    "builder.build left",  # its spool is gone
    "ledger.advance releasing begins",
    "ledger.advance releasing done",
    "ledger.intend_release done",
    "target.run_once release begins",
    "target.run_once release speaks",  # its container runs
    "target.run_once release done",
    "ledger.advance rolling_out done",
    "target.roll_out begins",
    "target.roll_out done",
    "sources.move begins",
    "sources.move done",
    "target.run_once postdeploy begins",
    "target.run_once postdeploy done",
    "logbook.close done",
    "ledger.go_live begins",
    "ledger.go_live done",  # live, but the commit is still held
    "sources.release done",
)
FAILING = (
    "target.put_back begins",
    "target.put_back done",
    "ledger.end begins",
    "ledger.end done",
)
POINTS = (*RECEIVING, *DEPLOYING, *FAILING)

_STEPS = {name.split(" ")[0] for name in POINTS}
_TELLING: dict[str, Callable[..., str]] = {
    "ledger.advance": lambda _job, _fence, state, **_: f" {state}",
    "target.run_once": lambda _release, process, *_: f" {process.name}",
}
_SILENT: dict[str, Callable[..., bool]] = {
    "ledger.reviews": lambda *of: not of,  # the server's own round, not a push
}
Reached = Callable[[str], None]


def watched(platform: Platform, reached: Reached) -> Platform:
    """The same platform. ``reached`` is told the points that are reached, on the thread that reaches them."""
    under_way: set[str] = set()
    watch = partial(_Watched, under_way=under_way, reached=reached)
    return replace(
        platform,
        ledger=cast("Ledger", watch("ledger", platform.ledger)),
        sources=cast("SourceStore", watch("sources", platform.sources)),
        builder=cast("Builder", watch("builder", platform.builder)),
        registry=cast("Registry", watch("registry", platform.registry)),
        target=cast("Target", watch("target", platform.target)),
        logbook=cast("LogBook", watch("logbook", platform.logbook)),
    )


class _Watched:
    """A port whose steps are told."""

    def __init__(self, name: str, port: object, under_way: set[str], reached: Reached) -> None:
        self._name = name
        self._port = port
        self._under_way = under_way
        self._reached = reached

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        step = f"{self._name}.{method}"
        if step == "logbook.append":
            return partial(self._append, found)
        return partial(self._call, step, found) if step in _STEPS else found

    def _append(self, append: Callable[..., None], *arguments: Any) -> None:
        append(*arguments)
        for step in tuple(self._under_way):
            self._reached(f"{step} speaks")

    def _call(self, step: str, method: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        if step in _SILENT and _SILENT[step](*arguments):
            return method(*arguments, **more)
        told = step + (_TELLING[step](*arguments, **more) if step in _TELLING else "")
        self._reached(f"{told} begins")
        self._under_way.add(told)
        try:
            result = method(*arguments, **more)
            if isinstance(result, AbstractContextManager):
                return self._inside(told, result)
        finally:
            self._under_way.discard(told)
        if result is not None or step != "ledger.claim":
            self._reached(f"{told} done")
        return result

    @contextmanager
    def _inside(self, told: str, context: AbstractContextManager[Any]) -> Iterator[Any]:
        self._under_way.add(told)
        try:
            with context as result:
                self._under_way.discard(told)
                self._reached(f"{told} done")
                yield result
        finally:
            self._under_way.discard(told)
        self._reached(f"{told} left")


def main() -> None:
    crash_at, told = os.environ.get("GITRECEIVE_TEST_CRASH_AT"), os.environ.get("GITRECEIVE_TEST_REACHED")
    if crash_at and crash_at not in POINTS:
        sys.exit(f"there is no point {crash_at!r}")

    def reached(name: str) -> None:
        if told:
            with Path(told).open("a", encoding="utf-8") as file:
                file.write(f"{name}\n")
        if name == crash_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def platform(settings: config.Settings, observer: Observer) -> Platform:
        return watched(wiring.platform(settings, observer), reached)

    server.run(config.load(), lambda text: click.echo(text, err=True), platform)


if __name__ == "__main__":
    main()
