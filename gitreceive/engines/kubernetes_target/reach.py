"""Wait until a new URL answers: pods may be ready before the nodes know the way to them."""

import http.client
import socket
import struct
import time
from urllib.parse import urlsplit

from gitreceive.cancellation import Cancellation

_PATIENCE_SECONDS = 10.0
_FIRST_TRY_SECONDS = 0.25
_PAUSE_SECONDS = 0.05


def await_answer(url: str, cancel: Cancellation, seconds: float = _PATIENCE_SECONDS) -> bool:
    """Whether ``url`` gave an answer, whatever it says, to a GET of ``/`` within ``seconds``. Raises CanceledError.

    Every try is a new connection that waits longer than the last: a node that does not know the way yet may refuse the
    connection, or take it (kube-proxy holds the port before 1.27) and never say a word on it.
    """
    end = time.monotonic() + seconds
    patience = _FIRST_TRY_SECONDS
    while (left := end - time.monotonic()) > 0:
        cancel.raise_if_requested()
        if _answers(url, min(patience, left)):
            return True
        patience *= 2
        time.sleep(min(_PAUSE_SECONDS, left))
    return False


def _answers(url: str, timeout: float) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        connection.request("GET", "/", headers={"User-Agent": "gitreceive"})
        connection.getresponse()
    except (http.client.HTTPException, http.client.RemoteDisconnected):
        return True  # whoever hung up, or spoke another protocol, was there
    except OSError:
        _abort_at_close(connection)
        return False
    finally:
        connection.close()
    return True


def _abort_at_close(connection: http.client.HTTPConnection) -> None:
    """End with a reset. A connection half closed stays in the nodes' tracking for a minute, and whoever is then given the
    same source port is led where it led: nowhere.
    """
    if connection.sock:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
