"""A builder whose builds stand on a stack with the system packages that the source asks for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from gitreceive.buildpacks.system_packages import (
    APTFILE,
    PROJECT_FILE,
    SystemPackage,
    of_aptfile,
    of_project_file,
    together,
)
from gitreceive.cancellation import Cancellation
from gitreceive.errors import SourceError
from gitreceive.model import AppName, Build, Check, SourceEntry, Stack
from gitreceive.ports import Builder, BuildRequest, Log

Derive = Callable[[Stack, Sequence[SystemPackage], Log, Cancellation], Stack]

_LARGEST = 1 << 20


class BuilderWithPackages:
    """A Builder: asks ``derive`` for the stack where the source names packages, then leaves the build to ``builder``.

    As the stack is an input of every build, a push that changes the set of packages is built, and one that does not may need no build.
    """

    def __init__(self, builder: Builder, derive: Derive) -> None:
        self._builder = builder
        self._derive = derive

    @contextmanager
    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> Iterator[Build]:
        """As the port promises; raises SourceError too, for what asks for packages in a way that is not understood."""
        packages = self._packages(request)
        if packages and request.stack:
            request = replace(request, stack=self._derive(request.stack, packages, log, cancel))
        with self._builder.build(request, log, cancel) as build:
            yield build

    def forget(self, app: AppName) -> None:
        self._builder.forget(app)

    def cached(self) -> frozenset[AppName]:
        return self._builder.cached()

    def sweep(self) -> None:
        self._builder.sweep()

    def check(self) -> Iterable[Check]:
        return self._builder.check()

    def _packages(self, request: BuildRequest) -> tuple[SystemPackage, ...]:
        readers = {APTFILE: of_aptfile, PROJECT_FILE: of_project_file}
        found: list[SystemPackage] = []
        for entry in request.root:
            if entry.name in readers:
                found += readers[entry.name](_content(request, entry))
        return together(found)


def _content(request: BuildRequest, entry: SourceEntry) -> bytes:
    content = request.read(entry.name, _LARGEST + 1)
    if content is None and entry.name == APTFILE:
        raise SourceError(
            f"{APTFILE} is not a file", hint="a folder or a link is not read: commit the file itself"
        )
    if content and len(content) > _LARGEST:
        raise SourceError(
            f"{entry.name} is larger than {_LARGEST >> 20} MiB", hint="it is to be written by people"
        )
    return content or b""
