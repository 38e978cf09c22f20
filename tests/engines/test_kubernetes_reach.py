"""A URL is only given out when somebody answers there. Sockets on loopback; no cluster is needed."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.kubernetes_target.reach import await_answer
from gitreceive.errors import CanceledError


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def answer(server: socket.socket, text: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(text)


@pytest.mark.parametrize(
    "text", [b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", b"hello, I speak no HTTP\n", b""]
)
def test_any_answer_will_do(text: bytes) -> None:
    with listening(lambda server: answer(server, text)) as url:
        assert await_answer(url, Cancellation(), seconds=5)


def test_a_port_that_takes_connections_and_is_silent_is_asked_again_on_a_new_one() -> None:
    asked: list[socket.socket] = []

    def silent_at_first(server: socket.socket) -> None:
        asked.append(server.accept()[0])
        answer(server, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        asked[0].close()

    with listening(silent_at_first) as url:
        assert await_answer(url, Cancellation(), seconds=5)


def test_a_port_that_opens_late_is_waited_for() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]

    def open_late() -> None:
        time.sleep(0.3)
        with closing(socket.create_server(("127.0.0.1", port))) as late:
            answer(late, b"HTTP/1.1 204 Nothing\r\n\r\n")

    thread = threading.Thread(target=open_late)
    thread.start()
    assert await_answer(f"http://127.0.0.1:{port}", Cancellation(), seconds=5)
    thread.join()


def test_silence_ends() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        assert not await_answer(f"http://127.0.0.1:{server.getsockname()[1]}", Cancellation(), seconds=0.5)


def test_a_cancellation_ends_it() -> None:
    cancel = Cancellation()
    cancel.request("enough")
    with pytest.raises(CanceledError):
        await_answer("http://127.0.0.1:1", cancel)
