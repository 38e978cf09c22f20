"""One builder for sources with a Dockerfile, another for all others."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from gitreceive.cancellation import Cancellation
from gitreceive.model import AppName, Build, Check
from gitreceive.ports import Builder, BuildRequest, Log


class BuilderBySource:
    """A Builder that asks ``takes`` of each request."""

    def __init__(self, takes: Callable[[BuildRequest], bool], taker: Builder, others: Builder) -> None:
        self._takes = takes
        self._taker = taker
        self._others = others

    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> AbstractContextManager[Build]:
        builder = self._taker if self._takes(request) else self._others
        return builder.build(request, log, cancel)

    def forget(self, app: AppName) -> None:
        self._taker.forget(app)
        self._others.forget(app)

    def cached(self) -> frozenset[AppName]:
        return self._taker.cached() | self._others.cached()

    def sweep(self) -> None:
        self._taker.sweep()
        self._others.sweep()

    def check(self) -> Iterable[Check]:
        yield from self._taker.check()
        yield from self._others.check()
