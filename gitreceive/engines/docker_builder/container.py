"""One build container: what it may, its channel, and its end."""

import contextlib
import io
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import docker
import docker.utils
from docker.errors import APIError, NotFound
from docker.types import LogConfig, Mount, Ulimit

from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder.builder_image import HOME, USER
from gitreceive.lifecycle.frames import ChannelError
from gitreceive.ports import LentNetwork

_COMMAND = ["/usr/bin/python3", "-ISB", "/cnb/lifecycle", "serve"]
_STDOUT, _STDERR = 1, 2
_READ = 1 << 18


@dataclass(frozen=True)
class Spec:
    image: str
    name: str
    labels: dict[str, str]
    cache: str  # the name of a volume


class BuildContainer:
    """A context: leaving it removes the container, in the background until ``gone`` is called, and gives its network back.

    ``send`` and ``receive`` are the channel; what the build writes to stderr goes to ``on_output`` as ``receive`` meets it.
    """

    def __init__(
        self,
        client: docker.APIClient,
        settings: BuildSettings,
        spec: Spec,
        network: LentNetwork,
        on_output: Callable[[bytes], None],
    ) -> None:
        self._client = client
        self._network = network
        self._on_output = on_output
        self._pending = memoryview(b"")
        self._removal: threading.Thread | None = None
        self._left = False  # it was to be removed, and nobody did
        self.id = client.create_container(
            spec.image,
            name=f"{spec.name}-{secrets.token_hex(3)}",
            entrypoint=_COMMAND,
            command=[],
            user=f"{USER}:{USER}",
            environment={"HOME": HOME},
            working_dir="/workspace",
            stdin_open=True,
            labels=spec.labels,
            host_config=client.create_host_config(
                **_limits(settings), network_mode=network.mode, mounts=[_cache(spec)]
            ),
        )["Id"]

    def __enter__(self) -> Self:
        try:
            # attached before it starts, so that not a byte is missed
            attached = self._client.attach_socket(
                self.id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
            self._socket: Any = getattr(attached, "_sock", attached)
            self._socket.settimeout(None)
            self._response = attached._response  # noqa: SLF001 - docker-py hangs the connection's owner there
            self._stream = io.BufferedReader(attached, _READ)
            self._client.start(self.id)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._removal = threading.Thread(target=self._remove, name=f"remove-{self.id[:12]}")
        self._removal.start()

    def gone(self) -> bool:
        """Wait until the container is removed; where Docker was away then, it is asked once more. False: it is away still."""
        if self._removal:
            self._removal.join()
        if self._left:
            self._remove()
        return not self._left

    def send(self, content: bytes) -> None:
        """Raises OSError once nobody listens any more."""
        self._socket.sendall(content)

    def receive(self, size: int) -> bytes:
        """At most ``size`` bytes of the channel; none once the container has ended."""
        while not self._pending:
            piece = self._next()
            if piece is None:
                return b""
            kind, content = piece
            if kind == _STDERR:
                self._on_output(content)
            elif kind == _STDOUT:
                self._pending = memoryview(content)
        part, self._pending = self._pending[:size], self._pending[size:]
        return bytes(part)

    def drain(self, until: Callable[[], bool]) -> None:
        """Read on for the sake of the output. Raises ChannelError where there is more on the channel."""
        while not until():
            piece = self._next()
            if piece is None:
                return
            if piece[0] != _STDERR:
                raise ChannelError("the build went on after its end")
            self._on_output(piece[1])

    def kill(self) -> None:
        """End it at once; who reads sees the channel end. No error where it has ended."""
        with contextlib.suppress(APIError, OSError):
            self._client.kill(self.id)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def runs(self) -> bool:
        """By Docker's account. Docker's errors pass."""
        try:
            return bool(self._client.inspect_container(self.id)["State"]["Running"])
        except NotFound:
            return False

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in it for memory, by Docker's account."""
        try:
            return bool(self._client.inspect_container(self.id)["State"]["OOMKilled"])
        except NotFound:
            return False

    def _next(self) -> tuple[int, bytes] | None:
        """The next piece of Docker's multiplexed stream (Engine API, "Attach to a container")."""
        try:
            header = self._stream.read(8)
            if len(header) < 8:
                return None
            content = self._stream.read(int.from_bytes(header[4:], "big"))
        except (OSError, ValueError):
            return None  # the connection is gone, and with it the container's channel
        return header[0], content

    def _remove(self) -> None:
        try:
            with contextlib.suppress(APIError):
                self._client.remove_container(self.id, force=True, v=True)
                self._network.give_back()  # not before all that spoke in it is gone
            self._left = False
        except OSError:
            self._left = True
        with contextlib.suppress(OSError, AttributeError):
            self._response.close()
            self._stream.close()
            self._socket.close()


def _limits(settings: BuildSettings) -> dict[str, Any]:
    memory, disk = docker.utils.parse_bytes(settings.memory), int(docker.utils.parse_bytes(settings.disk))
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": int(settings.cpus * 1e9),
        "pids_limit": settings.pids,
        "ulimits": [Ulimit(name="fsize", soft=disk, hard=disk)],
        "runtime": settings.runtime or None,
        "tmpfs": {"/platform": f"size=64m,mode=0700,uid={USER},gid={USER}"},
        "log_config": LogConfig(type="none"),
        "init": True,
    }


def _cache(spec: Spec) -> Mount:
    return Mount("/layers", spec.cache, type="volume", labels=spec.labels)
