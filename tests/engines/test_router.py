"""The door for all apps, between real sockets on the loopback address."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitreceive.certificates import read_certificate
from gitreceive.config import DockerSettings
from gitreceive.engines.docker_target.forwarder import Forwarder
from gitreceive.engines.docker_target.hosts import Hosts, url
from gitreceive.engines.docker_target.routes import Routes
from gitreceive.engines.docker_target.visit import Patience
from gitreceive.errors import UnavailableError
from gitreceive.model import AppName, Certificate, Domain, Routing
from tests.certificates import Issued, issue

HOST = "127.0.0.1"
SHOP, BLOG = AppName("shop"), AppName("blog")


class App:
    """Answers each connection by a function of its own."""

    def __init__(self, answer: Callable[[socket.socket], object]) -> None:
        self._door = socket.create_server((HOST, 0))
        self._answer = answer
        self.address: tuple[str, int] = self._door.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._answer(connection)
            except OSError:
                return


def head_of(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return head
        head += piece
    return head


def tells_its_head(name: str) -> Callable[[socket.socket], None]:
    """Its name and the head that reached it."""

    def answer(connection: socket.socket) -> None:
        body = name.encode() + b"\n" + head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    return answer


class Ground:
    """A forwarder with a door for all apps, and apps behind it."""

    def __init__(self, folder: Path, patience: Patience | None = None) -> None:
        self.forwarder = Forwarder(HOST, patience)
        self.routes = Routes(folder / "routes")
        self.port, self.secure_port, *self._ports = _free_ports(10)
        self.certificates: dict[str, Certificate] = {}
        self._hosts = Hosts(self.routes, "apps.test", lambda _app, name: self.certificates[name])
        self._apps: list[App] = []
        self.forwarder.open_door(HOST, self.port, secure=False)
        self.forwarder.open_door(HOST, self.secure_port, secure=True)

    def app(self, name: AppName, answer: Callable[[socket.socket], object], routing: Routing) -> App:
        app = App(answer)
        self._apps.append(app)
        self.forwarder.route(name, self._ports.pop(), [app.address])
        self.routing(name, routing)
        return app

    def routing(self, name: AppName, routing: Routing) -> None:
        self.routes.put(name, routing)
        table = self._hosts.table()
        assert table
        self.forwarder.lead(table)

    def brought(self, issued: Issued) -> Routing:
        made = read_certificate(issued.pem + issued.key_pem, datetime.now(UTC))
        self.certificates[made.fingerprint] = made
        return Routing(certificates={made.fingerprint: made.facts})

    def ask(
        self, host: str, method: str = "GET", path: str = "/", body: bytes | None = None
    ) -> tuple[int, str]:
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=10)) as connection:
            connection.request(method, path, body=body, headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=10)

    def stop(self) -> None:
        self.forwarder.stop(0.1)
        for app in self._apps:
            app.close()


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(number)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Ground]:
    """The same, with little patience."""
    made = Ground(tmp_path, Patience(head=0.2, idle=0.2, retry=0.1))
    yield made
    made.stop()


def answer_of(connection: socket.socket) -> bytes:
    """All until it is closed."""
    said = b""
    while piece := connection.recv(65536):
        said += piece
    return said


def test_each_host_leads_to_its_app_and_no_other_to_any(ground: Ground) -> None:
    ground.app(SHOP, tells_its_head("shop"), Routing((Domain("*.shops.test"), Domain("shop.test"))))
    ground.app(BLOG, tells_its_head("blog"), Routing())
    for host in ("shop.apps.test", "shop.test", "SHOP.test:8080", "shop.test.", "a.shops.test"):
        assert ground.ask(host)[1].startswith("shop\n"), host
    assert ground.ask("blog.apps.test")[1].startswith("blog\n")
    for host in ("other.test", "shops.test", "a.b.shops.test", "apps.test", HOST, "[::1]:80"):
        assert ground.ask(host) == (404, "no app answers at this host\n"), host


def test_one_connection_may_ask_several_apps(ground: Ground) -> None:
    ground.app(SHOP, tells_its_head("shop"), Routing())
    ground.app(BLOG, tells_its_head("blog"), Routing())
    with closing(http.client.HTTPConnection(HOST, ground.port, timeout=10)) as connection:
        for name in ("shop", "blog", "shop"):
            connection.request("GET", "/", headers={"Host": f"{name}.apps.test"})
            assert connection.getresponse().read().decode().startswith(f"{name}\n")


def test_pipelined_requests_of_two_apps_are_kept_apart(ground: Ground) -> None:
    ground.app(SHOP, tells_its_head("shop"), Routing())
    ground.app(BLOG, tells_its_head("blog"), Routing())
    with ground.connect() as connection:
        connection.sendall(
            b"GET /1 HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n"
            b"GET /2 HTTP/1.1\r\nHost: blog.apps.test\r\nConnection: close\r\n\r\n"
        )
        said = answer_of(connection)
    assert said.index(b"shop\nGET /1") < said.index(b"blog\nGET /2")


def test_the_app_is_told_who_asked_and_how_and_believes_no_client(ground: Ground) -> None:
    ground.app(SHOP, tells_its_head("shop"), Routing())
    with ground.connect() as connection:
        connection.sendall(
            b"GET /a?b HTTP/1.1\r\nHost: Shop.apps.test:81\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\n"
            b"Connection: close, x-mine\r\nX-Mine: 1\r\nX-Other: 2\r\n\r\n"
        )
        said = answer_of(connection).decode().lower()
    for line in ("get /a?b http/1.1", f"x-forwarded-for: {HOST}", "x-forwarded-proto: http", "x-other: 2"):
        assert f"{line}\r\n" in said
    for line in ("host: shop.apps.test:81", "x-forwarded-host: shop.apps.test:81", "x-forwarded-port: 81"):
        assert f"{line}\r\n" in said
    assert "8.8.8.8" not in said
    assert "x-mine" not in said


def test_a_websocket_is_carried_both_ways_as_long_as_it_lasts(ground: Ground) -> None:
    def answer(connection: socket.socket) -> None:
        head = head_of(connection).lower()
        assert b"connection: upgrade\r\n" in head
        assert b"upgrade: websocket\r\n" in head
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst"
        )
        while piece := connection.recv(65536):
            connection.sendall(piece.upper())

    ground.app(SHOP, answer, Routing())
    with ground.connect() as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        said = head_of(connection)
        assert said.startswith(b"HTTP/1.1 101 ")
        while not said.endswith(b"first"):
            said += connection.recv(100)
        for piece in (b"\x81\x05abc", b"GET / HTTP/1.1\r\n\r\n"):
            connection.sendall(piece)
            assert connection.recv(100) == piece.upper()


def test_an_answer_is_passed_on_piece_by_piece_as_it_comes(ground: Ground) -> None:
    go_on = threading.Event()

    def answer(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        go_on.wait(10)
        connection.sendall(b"3\r\ntwo\r\n0\r\n\r\n")

    ground.app(SHOP, answer, Routing())
    with closing(http.client.HTTPConnection(HOST, ground.port, timeout=10)) as connection:
        connection.request("GET", "/", headers={"Host": "shop.apps.test"})
        body = connection.getresponse()
        assert body.read(3) == b"one"
        go_on.set()
        assert body.read() == b"two"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_goes_through_whole_in_both_directions(ground: Ground, chunked: bool) -> None:
    large = bytes(range(256)) * (1 << 15)

    def answer(connection: socket.socket) -> None:
        head, _, body = head_of(connection).partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            while not body.endswith(b"0\r\n\r\n"):
                body += connection.recv(1 << 20)
            assert len(body) > len(large)
        else:
            while len(body) < len(large):
                body += connection.recv(1 << 20)
            assert body == large
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + large)  # its end is the end of the connection

    ground.app(SHOP, answer, Routing())
    with closing(http.client.HTTPConnection(HOST, ground.port, timeout=20)) as connection:
        pieces = iter([large[:100_000], large[100_000:]]) if chunked else large
        connection.request(
            "POST", "/", body=pieces, headers={"Host": "shop.apps.test"}, encode_chunked=chunked
        )
        assert connection.getresponse().read() == large


def test_a_client_that_asks_first_whether_to_send_is_told_by_the_app(ground: Ground) -> None:
    def answer(connection: socket.socket) -> None:
        assert b"expect: 100-continue" in head_of(connection).lower()
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert connection.recv(10) == b"body"
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    ground.app(SHOP, answer, Routing())
    with ground.connect() as connection:
        connection.sendall(
            b"PUT / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert b" 100 " in head_of(connection)
        connection.sendall(b"body")
        assert b" 204 " in head_of(connection)


def test_an_app_that_refuses_a_body_early_is_heard(ground: Ground) -> None:
    def answer(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")

    ground.app(SHOP, answer, Routing())
    with ground.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 100\r\n\r\nab")
        said = answer_of(connection)
    assert b" 413 " in said
    assert said.endswith(b"big")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\nHost: blog.apps.test\r\n\r\n", b"400"),
        (
            b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"400",
        ),
        (b"POST / HTTP/1.1\r\nHost: shop.apps.test\r\nTransfer-Encoding: x, chunked\r\n\r\n", b"501"),
        (b"CONNECT shop.apps.test:80 HTTP/1.1\r\nHost: shop.apps.test\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\nX: " + b"x" * 70_000, b"431"),
        (b"GET http://shop.apps.test/ HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n", b"200"),
    ],
)
def test_a_request_is_well_formed_or_refused(ground: Ground, said: bytes, status: bytes) -> None:
    ground.app(SHOP, tells_its_head("shop"), Routing())
    with ground.connect() as connection:
        connection.sendall(said)
        assert head_of(connection).split(b" ")[1] == status


def test_who_is_slow_to_say_what_it_wants_is_let_go(hasty: Ground) -> None:
    for said in (b"", b"GET / HTTP/1.1\r\nHo"):
        with hasty.connect() as connection:
            connection.sendall(said)
            assert answer_of(connection) == b""


def test_an_app_that_hangs_up_or_breaks_off_is_not_taken_for_an_answer(ground: Ground) -> None:
    ground.app(SHOP, head_of, Routing())
    assert ground.ask("shop.apps.test") == (502, "the app hung up\n")

    def breaks_off(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    ground.app(BLOG, breaks_off, Routing())
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ground.ask("blog.apps.test")


def test_an_app_that_is_not_there_is_said_so(hasty: Ground) -> None:
    hasty.app(SHOP, tells_its_head("shop"), Routing())
    hasty.forwarder.route(SHOP, hasty._ports[0], [("127.0.0.1", 1)])
    assert hasty.ask("shop.apps.test") == (503, "the app does not answer\n")
    hasty.forwarder.drop(SHOP)
    assert hasty.ask("shop.apps.test")[0] == 503


def test_a_replaced_container_is_waited_for_while_it_answers(ground: Ground) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> None:
        head_of(connection)
        asked.set()
        go_on.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")

    old = ground.app(SHOP, slow, Routing())
    port = ground.forwarder._routes[SHOP].port
    with ground.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.apps.test\r\nConnection: close\r\n\r\n")
        assert asked.wait(10)
        new = App(tells_its_head("new"))
        with closing(new):
            ground.forwarder.route(SHOP, port, [new.address])
            assert ground.ask("shop.apps.test")[1].startswith("new\n")
            threading.Timer(0.2, go_on.set).start()
            assert ground.forwarder.drain(SHOP, [old.address], 10) == 0
            assert answer_of(connection).endswith(b"old")


def test_tls_is_by_the_host_that_is_named(ground: Ground) -> None:
    root = issue(name="root")
    shop, blog = issue("shop.test", "*.shops.test", by=root), issue("blog.apps.test", by=root)
    ground.app(SHOP, tells_its_head("shop"), Routing())
    routing = ground.brought(shop)
    ground.routing(
        SHOP, Routing((Domain("shop.test"), Domain("*.shops.test")), certificates=routing.certificates)
    )
    ground.app(BLOG, tells_its_head("blog"), ground.brought(blog))
    trusting = ssl.create_default_context(cadata=root.pem)

    def ask(host: str) -> str:
        with (
            socket.create_connection((HOST, ground.secure_port), timeout=10) as plain,
            trusting.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return answer_of(connection).decode()

    for host, app in (("shop.test", "shop"), ("a.shops.test", "shop"), ("blog.apps.test", "blog")):
        said = ask(host)
        assert f"\r\n\r\n{app}\n" in said
        assert "x-forwarded-proto: https" in said.lower()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask("shop.apps.test")


def test_plain_requests_are_sent_on_to_https_where_there_is_a_certificate(ground: Ground) -> None:
    ground.app(SHOP, tells_its_head("shop"), Routing())
    brought = ground.brought(issue("shop.test"))
    ground.routing(SHOP, Routing((Domain("shop.test"),), https=True, certificates=brought.certificates))
    for method, status in (("GET", 301), ("POST", 308)):
        with closing(http.client.HTTPConnection(HOST, ground.port, timeout=10)) as connection:
            connection.request(method, "/a?b=c", headers={"Host": "shop.test"})
            answer = connection.getresponse()
            assert answer.status == status
            assert answer.getheader("Location") == f"https://shop.test:{ground.secure_port}/a?b=c"
    assert ground.ask("shop.apps.test")[1].startswith("shop\n")


def test_a_port_that_is_taken_is_told(ground: Ground) -> None:
    with pytest.raises(UnavailableError, match=f"port {ground.port}"):
        ground.forwarder.open_door(HOST, ground.port, secure=False)


def test_what_a_server_that_was_killed_knew_the_next_one_knows(ground: Ground, tmp_path: Path) -> None:
    ground.routes.put(SHOP, Routing((Domain("shop.test"),), https=True))
    again = Routes(tmp_path / "routes")
    assert again.all() == {SHOP: Routing((Domain("shop.test"),), https=True)}
    again.drop(SHOP)
    again.drop(SHOP)
    assert ground.routes.all() == {}
    assert ground.routes.of(SHOP) == Routing()


@pytest.mark.parametrize(
    ("http_listen", "https_listen", "domain", "expected"),
    [
        ("0.0.0.0:80", "", "apps.test", "http://shop.apps.test"),
        ("0.0.0.0:8080", "", "apps.test", "http://shop.apps.test:8080"),
        ("0.0.0.0:80", "0.0.0.0:443", "", "https://shop.test"),
        ("", "", "apps.test", None),
    ],
)
def test_the_address_is_that_of_the_first_host(
    http_listen: str, https_listen: str, domain: str, expected: str | None
) -> None:
    made = read_certificate(_both(issue("shop.test")), datetime.now(UTC))
    routing = Routing((Domain("*.a.test"), Domain("shop.test")), certificates={made.fingerprint: made.facts})
    settings = DockerSettings(http_listen=http_listen, https_listen=https_listen)
    assert url(routing, SHOP, domain, settings) == expected


def _both(issued: Issued) -> str:
    return issued.pem + issued.key_pem


def test_the_door_closes_with_the_forwarder(ground: Ground) -> None:
    ground.app(SHOP, tells_its_head("shop"), Routing())
    ground.ask("shop.apps.test")
    waiting = ground.connect()
    since = time.monotonic()
    ground.forwarder.stop(5)
    assert time.monotonic() - since < 5
    with pytest.raises(OSError, match="refused"):
        ground.connect()
    waiting.close()
