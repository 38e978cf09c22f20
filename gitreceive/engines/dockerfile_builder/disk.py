"""What the build of a Dockerfile has on disk: the layers that its steps have made, and what the step that runs has written, by Docker's count."""

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gitreceive.config import BuildSettings
from gitreceive.engines.dockerfile_builder.engine import BuildEngine, BuildOutput, bytes_of
from gitreceive.errors import BuildLimitError, CanceledError, GitreceiveError

_SHORTEST, _SHARE = 2.0, 4.0  # seconds between two looks, and by how much longer than a look that is
_FEW_INODES = 20_000
# Docker tells of a step's container before anything that runs in it can speak, and of the step's image when it has ended. A step that
# prints such lines itself adds to what is looked at, and takes nothing from it.
_TOLD = re.compile(r" ---> (?P<runs>Running in )?(?P<id>[0-9a-f]{12,64})\n?")
_MOST_TOLD = 10_000


@contextmanager
def held_to_disk(
    engine: BuildEngine, settings: BuildSettings, output: BuildOutput
) -> Iterator[Iterable[Mapping[str, Any]]]:
    """What Docker says of a build, entry by entry. One that has more than ``build.disk`` is hung up on, also where that is found at its end,
    and so is one where Docker's disk has less left than ``build.disk_reserve``, where that disk is this host's. Raises BuildLimitError,
    and UnavailableError where Docker does not tell any more.
    """
    watch = _Watch(engine, settings, output)
    try:
        with watch.looking():
            yield watch.hearing()
            watch.look()
    except CanceledError:
        raise
    except GitreceiveError as error:
        if watch.error is not None and error is not watch.error:
            raise watch.error from error
        raise
    if watch.error is not None:
        raise watch.error


class _Watch:
    def __init__(self, engine: BuildEngine, settings: BuildSettings, output: BuildOutput) -> None:
        self.error: GitreceiveError | None = None
        self._engine = engine
        self._settings = settings
        self._output = output
        self._most = bytes_of("disk", settings.disk)
        self._reserve = bytes_of("disk_reserve", settings.disk_reserve)
        self._over = threading.Event()
        self._containers: dict[str, None] = {}
        self._images: dict[str, None] = {}
        self._layers: dict[str, int] = {}

    @contextmanager
    def looking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="dockerfile-disk", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def hearing(self) -> Iterator[Mapping[str, Any]]:
        for entry in self._output:
            told = _TOLD.fullmatch(str(entry.get("stream", "")))
            if told and len(self._containers) + len(self._images) < _MOST_TOLD:
                (self._containers if told["runs"] else self._images)[told["id"]] = None
            yield entry

    def look(self) -> None:
        """Raises BuildLimitError, BuildError, UnavailableError."""
        self._look_at_reserve()
        for image in list(self._images):
            if image not in self._layers:
                self._layers[image] = self._engine.layer_bytes(image)
        seen = sum(self._layers.values()) + self._engine.written_bytes(list(self._containers))
        if seen > self._most:
            raise BuildLimitError(
                f"the steps of the Dockerfile had more than {self._settings.disk} on disk",
                hint="let them write less, or ask the operator to raise build.disk",
            )

    def _run(self) -> None:
        pause = _SHORTEST
        while not self._over.wait(pause):
            began = time.monotonic()
            try:
                self.look()
            except GitreceiveError as error:
                self.error = error
                self._output.hang_up()
                return
            pause = max(_SHORTEST, _SHARE * (time.monotonic() - began))

    def _look_at_reserve(self) -> None:
        room = self._engine.room()
        if room is None:
            return
        free, files = room
        if free < self._reserve or (files is not None and files < _FEW_INODES):
            left = f"{free / 1e6:.0f} MB" if free < self._reserve else f"{files} inodes"
            raise BuildLimitError(
                f"Docker's disk has only {left} left, and builds are stopped before it is full",
                hint="have the operator free some, or change build.disk_reserve; then push again",
            )
