"""The end of what speaks to registries, while other threads may still be asking."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from gitreceive.engines.oci_registry.transport import Call, Errand, Patience, Transport
from gitreceive.errors import RegistryError

CALL = Call("GET", "registry.test", "/v2/")


class SlowWay(httpx.BaseTransport):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.answer, self.closed = threading.Event(), threading.Event(), False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.set()
        assert self.answer.wait(20)
        return httpx.Response(200, request=request)

    def close(self) -> None:
        self.closed = True


def test_a_call_that_is_under_way_is_answered_and_takes_the_connections_along() -> None:
    way = SlowWay()
    transport = Transport(frozenset(), {}, lambda host: None, Patience(attempts=1), way)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(transport.send, CALL, Errand())
        assert way.asked.wait(20)
        transport.close()
        assert not way.closed
        way.answer.set()
        assert asked.result(20).status == 200
    assert way.closed


def test_nothing_is_asked_once_it_is_closed() -> None:
    way = SlowWay()
    transport = Transport(frozenset(), {}, lambda host: None, Patience(attempts=1), way)
    transport.close()
    with pytest.raises(RegistryError, match="not asked any more"):
        transport.send(CALL, Errand())
    assert not way.asked.is_set()
