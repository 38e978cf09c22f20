"""Sends request and source into the container while its output is read elsewhere: neither may wait for the other."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, BinaryIO, Self

from gitreceive.engines.docker_builder.container import BuildContainer
from gitreceive.lifecycle import frames

_READ = 1 << 18


class Feed:
    """A context: inside, a thread sends. ``error`` is what stopped it, None where nothing did."""

    def __init__(
        self, container: BuildContainer, message: dict[str, Any], archive: AbstractContextManager[BinaryIO]
    ) -> None:
        self.error: Exception | None = None
        self._container = container
        self._message = message
        self._archive = archive
        self._thread = threading.Thread(target=self._send, name=f"feed-{container.id[:12]}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._container.kill()  # else the thread might wait for ever for somebody to read
        self._thread.join()

    def _send(self) -> None:
        try:
            frames.write_message(self._container.send, self._message)
            with self._archive as tar:
                frames.write_stream(self._container.send, _pieces(tar))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told by who reads the channel
            self.error = error
            self._container.kill()


def _pieces(tar: BinaryIO) -> Iterator[bytes]:
    while piece := tar.read(_READ):
        yield piece
