"""Wait until a new URL answers: pods may be ready before the nodes know the way to them."""

import http.client
import random
import time
from urllib.parse import urlsplit

from gitreceive.cancellation import Cancellation

_PATIENCE_SECONDS = 10.0
_FIRST_TRY_SECONDS = 0.25
_PAUSE_SECONDS = 0.05
# None that the kernel hands out by itself. A try that a node had no way for stays in its connection tracking for two
# minutes, and whoever then got the same source port would be led where the try was led: nowhere.
_SOURCE_PORTS = range(20_000, 30_000)


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
    place = urlsplit(url).netloc
    port = random.choice(_SOURCE_PORTS)  # noqa: S311  # nothing is kept secret by it
    connection = http.client.HTTPConnection(place, timeout=timeout, source_address=("", port))
    try:
        connection.request("GET", "/", headers={"User-Agent": "gitreceive"})
        connection.getresponse()
    except http.client.HTTPException:
        return True  # whoever hung up, or spoke another protocol, was there
    except OSError:
        return False
    finally:
        connection.close()
    return True
