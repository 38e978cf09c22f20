"""The forwarder between real sockets on the loopback address."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gitreceive.engines.docker_target.connection import Notice
from gitreceive.engines.docker_target.forwarder import Forwarder
from gitreceive.errors import UnavailableError

HOST = "127.0.0.1"


class Echo:
    """Answers each piece with its name and the piece itself, and counts its connections."""

    def __init__(self, name: bytes, answer: Callable[[socket.socket, bytes], None]) -> None:
        self._door = socket.create_server((HOST, 0))
        self._name = name
        self._answer = answer
        self.address: tuple[str, int] = self._door.getsockname()
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        if self._door.fileno() >= 0:
            self._door.shutdown(socket.SHUT_RDWR)
            self._door.close()
        for connection in self.open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._door.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while piece := connection.recv(65536):
                self._answer(connection, self._name + b" " + piece)
        except OSError:
            return


def raw(connection: socket.socket, text: bytes) -> None:
    connection.sendall(text)


def http(connection: socket.socket, text: bytes) -> None:
    name = text.partition(b" ")[0]
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))


@pytest.fixture
def forwarder() -> Iterator[Forwarder]:
    made = Forwarder(HOST)
    yield made
    made.stop(0)


@pytest.fixture
def start() -> Iterator[Callable[..., Echo]]:
    echoes: list[Echo] = []

    def echo(name: bytes, answer: Callable[[socket.socket, bytes], None] = http) -> Echo:
        echoes.append(Echo(name, answer))
        return echoes[-1]

    yield echo
    for each in echoes:
        each.close()


@pytest.fixture
def port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def ask(client: socket.socket) -> bytes:
    client.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
    return client.recv(65536).rpartition(b"\r\n\r\n")[2]


def test_a_kept_connection_goes_to_the_new_release_with_its_next_request(
    forwarder: Forwarder, start: Callable[..., Echo], port: int
) -> None:
    old, new = start(b"old"), start(b"new")
    forwarder.route("shop", port, [old.address])
    with socket.create_connection((HOST, port)) as client:
        assert ask(client) == b"old"
        forwarder.route("shop", port, [new.address])
        assert forwarder.drain("shop", [old.address], 5) == 0
        assert ask(client) == b"new"


def test_what_is_under_way_finishes_and_what_does_not_is_cut(
    forwarder: Forwarder, start: Callable[..., Echo], port: int
) -> None:
    old, new = start(b"old", raw), start(b"new")
    forwarder.route("shop", port, [old.address])
    with socket.create_connection((HOST, port)) as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"old hello"
        forwarder.route("shop", port, [new.address])
        client.sendall(b"again")
        assert client.recv(100) == b"old again"
        began = time.monotonic()
        assert forwarder.drain("shop", [old.address], 0.3) == 1
        assert 0.3 <= time.monotonic() - began < 2
        assert client.recv(100) == b""


def test_replicas_take_turns(forwarder: Forwarder, start: Callable[..., Echo], port: int) -> None:
    one, two = start(b"one"), start(b"two")
    forwarder.route("shop", port, [one.address, two.address])
    answers = []
    for _ in range(4):
        with socket.create_connection((HOST, port)) as client:
            answers.append(ask(client))
    assert sorted(answers) == [b"one", b"one", b"two", b"two"]


def test_a_replica_that_is_down_is_passed_over(
    forwarder: Forwarder, start: Callable[..., Echo], port: int
) -> None:
    up, down = start(b"up"), start(b"down")
    down.close()
    forwarder.route("shop", port, [down.address, up.address])
    for _ in range(3):
        with socket.create_connection((HOST, port)) as client:
            assert ask(client) == b"up"


def test_a_client_is_told_when_nothing_answers(forwarder: Forwarder, port: int) -> None:
    forwarder.route("shop", port, [])
    with socket.create_connection((HOST, port)) as client:
        client.settimeout(10)
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")


def test_a_client_waits_for_a_container_that_comes(
    forwarder: Forwarder, start: Callable[..., Echo], port: int
) -> None:
    forwarder.route("shop", port, [])
    with socket.create_connection((HOST, port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        time.sleep(0.3)
        forwarder.route("shop", port, [start(b"late").address])
        assert client.recv(100).endswith(b"late")


def test_a_server_is_read_no_faster_than_its_client_reads(
    forwarder: Forwarder, start: Callable[..., Echo], port: int
) -> None:
    sent = 0

    def flood(connection: socket.socket, asked: bytes) -> None:
        nonlocal sent
        for _ in range(1024):
            connection.sendall(b"x" * 65536)
            sent += 65536

    forwarder.route("shop", port, [start(b"flood", flood).address])
    with socket.create_connection((HOST, port)) as client:
        client.sendall(b"go")
        time.sleep(1)
        held = sent
        assert held < 32 << 20
        left = 64 << 20
        while left:
            left -= len(client.recv(1 << 20))


def test_the_servers_end_reaches_the_client(
    forwarder: Forwarder, start: Callable[..., Echo], port: int
) -> None:
    def bye(connection: socket.socket, text: bytes) -> None:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_RDWR)

    forwarder.route("shop", port, [start(b"bye", bye).address])
    with socket.create_connection((HOST, port)) as client:
        client.sendall(b"x")
        assert client.recv(100) == b"bye x"
        assert client.recv(100) == b""


def test_a_client_that_has_said_all_still_gets_its_answer(
    forwarder: Forwarder, start: Callable[..., Echo], port: int
) -> None:
    def slowly(connection: socket.socket, text: bytes) -> None:
        time.sleep(0.3)
        connection.sendall(text)
        connection.close()

    forwarder.route("shop", port, [start(b"slow", slowly).address])
    with socket.create_connection((HOST, port)) as client:
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"slow x"


def test_a_taken_port_is_an_error_that_names_it(forwarder: Forwarder) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"port {port} for shop"):
            forwarder.route("shop", port, [])


def test_what_is_dropped_or_stopped_listens_no_more(forwarder: Forwarder, port: int) -> None:
    ends: tuple[Callable[[], None], ...] = (lambda: forwarder.drop("shop"), lambda: forwarder.stop(0))
    for end in ends:
        forwarder.route("shop", port, [])
        socket.create_connection((HOST, port)).close()
        end()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))
    forwarder.drop("shop")
    forwarder.stop(0)


def test_a_notice_is_told_in_place_of_the_app_also_on_a_connection_that_was_open(
    forwarder: Forwarder, start: Callable[..., Echo]
) -> None:
    old = start(b"old", http)
    with socket.create_server((HOST, 0)) as door:
        port = door.getsockname()[1]
    forwarder.route("shop", port, [old.address])
    with socket.create_connection((HOST, port), timeout=5) as kept:
        kept.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in kept.recv(1000)
        forwarder.route("shop", port, [old.address], Notice(b"closed", 60))
        kept.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        answer = b"".join(iter(lambda: kept.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 60\r\n" in answer
    assert answer.endswith(b"\r\n\r\nclosed")
    forwarder.route("shop", port, [old.address])
    with socket.create_connection((HOST, port), timeout=5) as new:
        new.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in new.recv(1000)
