"""Who looks at what a build has on disk, where their words do not come: another looks, and a build that nobody can look at is ended."""

import io
import json
import threading
from typing import Any, cast

import docker
import pytest

from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder.container import BuildContainer, Spec
from gitreceive.engines.docker_builder.disk import DiskWatch
from gitreceive.errors import BuildLimitError, UnavailableError
from gitreceive.patience import Patience

QUICK = Patience(attempts=3, first=0.001)


class Attached(io.RawIOBase):
    """What a watcher says, as Docker frames it, and no more of it than ``words``."""

    def __init__(self, words: bytes) -> None:
        self._left = io.BytesIO(words)
        self._response = io.BytesIO()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._left.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def settimeout(self, _seconds: float | None) -> None: ...
    def shutdown(self, _how: int) -> None: ...


class Engine:
    """Hands out watchers, each with its own words; they are removed, or it is seen."""

    def __init__(self, *words: bytes) -> None:
        self.words = list(words)
        self.there: set[str] = set()
        self.made = 0

    def create_host_config(self, **_: Any) -> None: ...

    def create_container(self, *_: Any, **__: Any) -> dict[str, str]:
        self.made += 1
        self.there.add(f"w{self.made}")
        return {"Id": f"w{self.made}"}

    def attach_socket(self, *_: Any, **__: Any) -> Attached:
        return Attached(self.words.pop(0))

    def start(self, _watcher: str) -> None: ...

    def remove_container(self, watcher: str, **_: Any) -> None:
        self.there.remove(watcher)


class Build:
    id = "b" * 64

    def __init__(self, runs: int) -> None:
        self.left = runs  # how often it is said to run
        self.killed = threading.Event()

    def runs(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def kill(self) -> None:
        self.killed.set()


def watched(engine: Engine, build: Build) -> DiskWatch:
    spec = Spec("image", "name", {}, "cache")
    watch = DiskWatch(
        cast("docker.APIClient", engine), BuildSettings(), spec, cast("BuildContainer", build), QUICK, begin=0
    )
    watch.__enter__()
    watch.gone()
    assert engine.there == set()
    return watch


def framed(passed: dict[str, object]) -> bytes:
    line = json.dumps(passed).encode() + b"\n"
    return b"\1\0\0\0" + len(line).to_bytes(4, "big") + line


MUCH = framed({"kind": "bytes", "seen": 9 << 30})


@pytest.mark.parametrize("cut", [0, 5, 12], ids=["nothing", "half a head", "half a line"])
def test_another_looks_where_the_words_of_the_first_break_off(cut: int) -> None:
    engine, build = Engine(MUCH[:cut], MUCH), Build(runs=9)
    watch = watched(engine, build)
    assert engine.made == 2
    assert isinstance(watch.error, BuildLimitError)
    assert build.killed.is_set()


def test_a_build_that_nobody_can_look_at_is_ended() -> None:
    engine, build = Engine(b"", b"", b""), Build(runs=9)
    watch = watched(engine, build)
    assert engine.made == 3
    assert isinstance(watch.error, UnavailableError)
    assert build.killed.is_set()


def test_a_build_that_ended_meanwhile_is_no_fault() -> None:
    engine, build = Engine(b"", b"", b""), Build(runs=0)
    watch = watched(engine, build)
    assert (engine.made, watch.error, build.killed.is_set()) == (1, None, False)
