"""What a build has on disk, looked at from outside of it while it runs."""

import contextlib
import io
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import docker
import docker.utils
from docker.errors import APIError, DockerException
from docker.types import LogConfig, Mount
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder.builder_image import USER
from gitreceive.engines.docker_builder.container import BuildContainer, Spec
from gitreceive.errors import BrokenOffError, BuildLimitError, GitreceiveError
from gitreceive.patience import Patience

_PROGRAM = Path(__file__).with_name("disk_inside.py")
_BEGIN = 2.0  # seconds: most builds have ended by then, and pay nothing
_MEMORY, _CPUS, _PROCESSES = 512 << 20, 0.5, 16
_STDOUT = 1
_ROOT = "/proc/1/root"  # of the build, where its process numbers are shared
_SHARE = 4.0  # by how much longer than a count of Docker's none is asked for
_AGAIN = Patience(attempts=4)
_LOST = (DockerException, RequestException, HTTPError, OSError, ValueError)


class DiskWatch:
    """A context: inside it, a build that has more than it may is killed, and ``error`` says why; ``cache_is_spent`` where the app's cache
    has to go for the next one. It is killed as well where nobody can look any more.

    A runtime that settings name may have a kernel of its own, into which nobody sees: then its cache is looked at from beside it, and
    all else it has written is what Docker counts.
    """

    def __init__(
        self,
        client: docker.APIClient,
        settings: BuildSettings,
        spec: Spec,
        container: BuildContainer,
        patience: Patience = _AGAIN,
        begin: float = _BEGIN,
    ) -> None:
        """It is looked after ``begin`` seconds for the first time."""
        self.error: GitreceiveError | None = None
        self.cache_is_spent = False
        self.cache = spec.cache
        self._client = client
        self._settings = settings
        self._spec = spec
        self._container = container
        self._beside = bool(settings.runtime)
        self._patience = patience
        self._begin = begin
        self._over = threading.Event()
        self._socket: Any = None
        self._watchers: list[str] = []
        self._thread = threading.Thread(target=self._run, name=f"disk-{container.id[:12]}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def gone(self) -> bool:
        """Wait until nothing of it is left; where Docker was away then, it is asked once more. False: it is away still."""
        if self._thread.ident is not None:
            self._thread.join()
        self._clear()
        return not self._watchers

    def _run(self) -> None:
        """Whoever looks is followed by another where they end without a word: their connection may have broken off, or the build has just ended."""
        if self._over.wait(self._begin):
            return
        paused, attempt = 0.0, 0
        while True:
            attempt += 1
            passed, lost = self._look()
            pause = None if passed else self._patience.pause(attempt, paused)
            if pause is None:
                with contextlib.suppress(*_LOST):  # then the build is out of reach too, and is told so
                    self._stop(passed, lost)
                return
            if self._over.wait(pause) or self._has_ended():
                return
            paused += pause

    def _look(self) -> tuple[Mapping[str, Any] | None, str]:
        """What the build has too much of; else why nobody looks any more."""
        try:
            self._watchers.append(self._create())
            return self._passed(self._watchers[-1]), "who looks at it ended without a word"
        except _LOST as error:
            return None, f"{type(error).__name__}: {error}"
        finally:
            self._clear()

    def _clear(self) -> None:
        with contextlib.suppress(*_LOST):
            while self._watchers:
                with contextlib.suppress(APIError):  # it is gone, or going
                    self._client.remove_container(self._watchers[-1], force=True, v=True)
                self._watchers.pop()

    def _has_ended(self) -> bool:
        try:
            return not self._container.runs()
        except _LOST:
            return False

    def _stop(self, passed: Mapping[str, Any] | None, lost: str) -> None:
        """Unless it has come to its end by itself, with which the watcher's comes."""
        if self._over.is_set() or (passed is None and not self._container.runs()):
            return
        if passed is None:
            self.error = BrokenOffError(
                f"nobody could look after the disk any more: {lost}", hint="gitreceive doctor looks at Docker"
            )
        else:
            self.cache_is_spent = passed["kind"] not in {"reserve", "inodes"}
            self.error = _error(passed, self._settings)
        self._container.kill()

    def _create(self) -> str:
        asked = {
            "user": USER,
            "bytes": int(docker.utils.parse_bytes(self._settings.disk)),
            "files": self._settings.disk_files,
            "reserve": int(docker.utils.parse_bytes(self._settings.disk_reserve)),
            "root": "" if self._beside else _ROOT,
            "tells": self._beside,
        }
        place: dict[str, Any] = {
            "mounts": [Mount("/layers", self._spec.cache, type="volume", read_only=True)]
        }
        if not self._beside:
            place = {"pid_mode": f"container:{self._container.id}"}
        program = _PROGRAM.read_text(encoding="utf-8")
        return str(
            self._client.create_container(
                self._spec.image,
                name=f"{self._spec.name}-disk-{secrets.token_hex(3)}",
                entrypoint=["/usr/bin/python3", "-ISB", "-c", program, json.dumps(asked)],
                command=[],
                user="0:0",
                working_dir="/",
                labels={**self._spec.labels, "gitreceive.watches": "disk"},
                host_config=self._client.create_host_config(
                    cap_drop=["ALL"],
                    cap_add=["SYS_PTRACE", "DAC_READ_SEARCH"],  # to see into the build's folders, and no more
                    security_opt=["no-new-privileges"],
                    mem_limit=_MEMORY,
                    memswap_limit=_MEMORY,
                    nano_cpus=int(_CPUS * 1e9),
                    pids_limit=_PROCESSES,
                    network_mode="none",
                    log_config=LogConfig(type="none"),
                    **place,
                ),
            )["Id"]
        )

    def _passed(self, watcher: str) -> Mapping[str, Any] | None:
        """Which limit is passed; None where the watcher ended without having seen that."""
        again = 0.0
        for said in self._said(watcher):
            if said["kind"] != "look":
                return said
            began = time.monotonic()
            if began >= again:
                seen = said["seen"] + self._written()
                if seen > docker.utils.parse_bytes(self._settings.disk):
                    return {"kind": "bytes", "seen": seen}
                again = time.monotonic() + _SHARE * (time.monotonic() - began)
        return None

    def _written(self) -> int:
        """Bytes that Docker counts of the container's own, its volumes apart."""
        found = self._client.containers(all=True, size=True, filters={"id": self._container.id})
        return int(found[0].get("SizeRw") or 0) if found else 0

    def _said(self, watcher: str) -> Iterator[Mapping[str, Any]]:
        """Its lines (Engine API, "Attach to a container")."""
        attached = self._client.attach_socket(watcher, params={"stdout": 1, "stream": 1})
        self._socket = getattr(attached, "_sock", attached)
        self._socket.settimeout(None)
        with contextlib.closing(attached._response):  # noqa: SLF001 - docker-py hangs the connection's owner there
            self._client.start(watcher)
            stream, said = io.BufferedReader(attached), b""
            while len(header := stream.read(8)) == 8:
                content = stream.read(int.from_bytes(header[4:], "big"))
                *lines, said = (said + (content if header[0] == _STDOUT else b"")).split(b"\n")
                yield from map(json.loads, lines)


def _error(passed: Mapping[str, Any], settings: BuildSettings) -> BuildLimitError:
    seen, gone = int(passed["seen"]), "the app's cache is emptied, as it counts"
    match passed["kind"]:
        case "bytes":
            return BuildLimitError(
                f"the build had more than {settings.disk} on disk; {gone}",
                hint="let it write less, or ask the operator to raise build.disk",
            )
        case "files":
            return BuildLimitError(
                f"the build had more than {settings.disk_files} files and folders; {gone}",
                hint="let it make fewer, or ask the operator to raise build.disk_files",
            )
        case "deep":
            return BuildLimitError(
                f"the build nested more than {seen - 1} folders in each other; {gone}", hint="nest fewer"
            )
        case kind:
            free = f"{seen / 1e6:.0f} MB" if kind == "reserve" else f"{seen} inodes"
            return BuildLimitError(
                f"Docker's disk has only {free} left, and builds are stopped before it is full",
                hint="have the operator free some, or change build.disk_reserve; then push again",
            )
