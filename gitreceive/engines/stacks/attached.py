"""What a container of Docker's writes, from its first byte on."""

import contextlib
import io
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import docker

STDOUT, STDERR = 1, 2
_READ = 1 << 18


class Attached:
    """A context: inside it the container runs, and ``pieces`` are what it writes. Attached before it starts, so nothing is missed."""

    def __init__(self, client: docker.APIClient, container: str) -> None:
        self._client = client
        self._container = container

    def __enter__(self) -> Self:
        attached = self._client.attach_socket(self._container, params={"stdout": 1, "stderr": 1, "stream": 1})
        self._socket: Any = getattr(attached, "_sock", attached)
        self._socket.settimeout(None)
        self._response = attached._response  # noqa: SLF001 - docker-py hangs the connection's owner there
        self._stream = io.BufferedReader(attached, _READ)
        try:
            self._client.start(self._container)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """STDOUT or STDERR and what came on it, to the container's end (Engine API, "Attach to a container")."""
        while piece := self._next():
            yield piece

    def hang_up(self) -> None:
        """Who reads sees the end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _next(self) -> tuple[int, bytes] | None:
        try:
            header = self._stream.read(8)
            if len(header) < 8:
                return None
            return header[0], self._stream.read(int.from_bytes(header[4:], "big"))
        except (OSError, ValueError):
            return None  # the connection is gone, and with it what the container writes

    def _close(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self._response.close()
            self._stream.close()
            self._socket.close()
