"""The cluster's way into containers: channels on one websocket (``v4.channel.k8s.io``).

Each message is a byte with the channel's number, and bytes. Its protocol has no half-close: an end of input has to be said in another way.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gitreceive.errors import RolloutError, UnavailableError

PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)

_CHUNK = 32768
_PING_SECONDS = 25.0  # what stands between may cut a connection on which nothing comes
_PROBES = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


class Channels:
    """One websocket. One thread may read while others write."""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self._closed = threading.Event()
        self.status: dict[str, Any] | None = None  # a v1 Status, once the cluster has said how it ended
        _probe(websocket.sock)
        threading.Thread(target=self._ping, name="channels", daemon=True).start()

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """(channel, bytes) until the cluster closes it. Raises UnavailableError where it breaks."""
        from websocket import WebSocketConnectionClosedException, WebSocketException

        try:
            yield from self._messages()
        except WebSocketConnectionClosedException:
            if self.status is None and not self._closed.is_set():
                raise UnavailableError("the cluster broke off the connection to a container") from None
        except (WebSocketException, OSError, ValueError) as error:
            if not self._closed.is_set():
                raise UnavailableError(
                    f"the connection to a container broke off: {type(error).__name__}"
                ) from error

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        from websocket import ABNF

        while not self._closed.is_set():
            kind, message = self._websocket.recv_data()
            if kind == ABNF.OPCODE_CLOSE:
                return
            if len(message) < 2:
                continue  # each channel is opened with an empty one
            if message[0] == STATUS:
                self.status = json.loads(message[1:])
            else:
                yield message[0], message[1:]

    def send(self, channel: int, content: bytes) -> None:
        """Raises OSError where nobody reads."""
        from websocket import WebSocketException

        try:
            for start in range(0, len(content), _CHUNK):
                self._websocket.send_binary(bytes([channel]) + content[start : start + _CHUNK])
        except WebSocketException as error:
            raise BrokenPipeError(str(error)) from error

    def close(self) -> None:
        from websocket import WebSocketException

        self._closed.set()
        with suppress(WebSocketException, OSError):
            self._websocket.close(timeout=1)
        self._websocket.shutdown()  # ``close`` leaves the socket open where the cluster has closed first

    def exit_code(self) -> int:
        """Of a command that was run in a container (Status with the reason NonZeroExitCode). Raises RolloutError."""
        status = self.status or {}
        if status.get("status") == "Success":
            return 0
        for cause in (status.get("details") or {}).get("causes") or []:
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
        raise RolloutError(
            f"the cluster could not run it: {status.get('message') or 'no reason given'}"[:300]
        )

    def _ping(self) -> None:
        from websocket import WebSocketException

        while not self._closed.wait(_PING_SECONDS):
            with suppress(WebSocketException, OSError):
                self._websocket.ping()


def _probe(reached: Any) -> None:
    """So that the kernel notices where the cluster is gone, and whoever waits is told."""
    reached.settimeout(None)
    reached.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES:
        reached.setsockopt(socket.IPPROTO_TCP, option, value)
