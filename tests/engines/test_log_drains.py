"""Log drains to real receivers over TLS on loopback, which are killed and come back."""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitreceive import wiring
from gitreceive.config import DrainSettings, Settings
from gitreceive.drains import DrainService, Receiver
from gitreceive.drains.receiving import word_of_ours
from gitreceive.drains.sending import Pace
from gitreceive.engines.log_drains.syslog import frames
from gitreceive.errors import ConfigError, ForbiddenError, UnavailableError
from gitreceive.model import AppName, Drain, Secret, UserName
from tests.drains.test_service import Place
from tests.engines.log_receivers import HttpsServer, SyslogServer, wait_for
from tests.engines.web_server import make_certificate

SHOP, ADA = AppName("shop"), UserName("ada")


@dataclass
class Ground:
    folder: Path
    certificate: Path
    private: tuple[str, ...] = ("127.0.0.0/8", "::1/128")

    @property
    def settings(self) -> Settings:
        drains = DrainSettings(private=self.private, ca_bundle=str(self.certificate))
        return Settings(data_dir=self.folder, drains=drains)

    def receiver(self, url: str, **headers: str) -> Receiver:
        secrets = {name: Secret(value) for name, value in headers.items()}
        place = Place(self.folder / "place")
        app = place.ledger.app(SHOP)
        return wiring.drain_receiver(self.settings, Drain(1, SHOP, ADA, Secret(url), app.created_at, secrets))


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path, make_certificate(tmp_path / "ca.pem"))


@pytest.fixture
def syslog(ground: Ground) -> Iterator[SyslogServer]:
    server = SyslogServer(ground.certificate)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def https(ground: Ground) -> Iterator[HttpsServer]:
    server = HttpsServer(ground.certificate)
    server.start()
    yield server
    server.kill()


class Draining(Place):
    """A whole service that sends to real receivers."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        super().__init__(ground.folder)
        self.runs.add("a")
        self.service.start()

    def new_service(self, spool_bytes: int = 1 << 20) -> DrainService:
        place = super().new_service(spool_bytes)
        place._receiver = lambda drain: wiring.drain_receiver(self.ground.settings, drain)
        place._pace = Pace(pause=0.05, look=0.02)
        return place


@pytest.fixture
def draining(ground: Ground) -> Iterator[Draining]:
    place = Draining(ground)
    yield place
    place.service.stop()


def test_a_syslog_receiver_that_is_killed_and_comes_back_loses_nothing(
    draining: Draining, syslog: SyslogServer
) -> None:
    draining.ledger.add_drain(SHOP, ADA, Secret(f"syslog+tls://localhost:{syslog.port}"), {})
    draining.say("before ü")
    wait_for(lambda: syslog.texts == ["before ü"], lambda: syslog.messages)
    syslog.reads.clear()  # it hangs: what comes now is in its machine's memory, and dies with it
    lost = [f"while it hung {n}" for n in range(20)]
    draining.say("the one that frees the reader", *lost)
    wait_for(lambda: bool(syslog.connections), lambda: syslog.connections)
    syslog.kill()
    away = [f"while it was away {n}" for n in range(20)]
    draining.say(*away)
    draining.service.stop()  # and the server restarts, too
    draining.say("while no server ran")
    draining.service = draining.new_service()
    draining.service.start()
    syslog.start()
    draining.say("after")
    wanted = {"before ü", *lost, *away, "while no server ran", "after"}
    wait_for(lambda: wanted <= set(syslog.texts), lambda: wanted - set(syslog.texts))
    seen = list(dict.fromkeys(syslog.texts))
    assert [text for text in seen if text in {*lost, *away}] == [*lost, *away]


def test_an_https_receiver_that_fails_and_goes_away_loses_nothing(
    draining: Draining, https: HttpsServer
) -> None:
    https.answers += [(500, {}), (429, {"Retry-After": "0"}), (302, {"Location": "https://localhost:1/"})]
    url = f"https://ada:canary@localhost:{https.port}/in?key=canary"
    draining.ledger.add_drain(SHOP, ADA, Secret(url), {"X-Team": Secret("blue")})
    draining.say("one")
    wait_for(lambda: https.texts == ["one"], lambda: https.headers)
    https.kill()
    texts = [f"away {n}" for n in range(1000)]
    draining.say(*texts)
    https.most = 100  # lines in a request
    https.start()
    wait_for(lambda: set(texts) <= set(https.texts), lambda: len(https.texts))
    assert https.texts == ["one", *texts]
    assert https.headers[-1]["path"] == "/in?key=canary"
    assert https.headers[-1]["X-Team"] == "blue"
    assert https.headers[-1]["Authorization"].startswith("Basic ")
    assert set(https.lines[0]) == {"app", "time", "source", "process", "instance", "text"}
    status = (draining.folder / "drains" / "1.json").read_text()
    assert "canary" not in status


def test_a_line_that_the_receiver_finds_too_long_is_cut_and_holds_nothing_up(
    ground: Ground, https: HttpsServer
) -> None:
    https.longest = 3000
    entries = [word_of_ours(SHOP, text) for text in ("short", "x" * 5000, "last")]
    with closing(ground.receiver(f"https://localhost:{https.port}/")) as receiver:
        while entries:
            entries = entries[receiver.send(entries) :]
    assert https.texts == ["short", f"{'x' * 1000} [cut]", "last"]


def test_a_message_is_what_rfc_5424_says() -> None:
    entry = word_of_ours(SHOP, "hällo") | {"time": "2026-01-31T12:00:00.000001Z", "instance": "web 1"}
    (frame,) = frames(entry)
    length, _, message = frame.partition(b" ")
    assert int(length) == len(message)
    assert message.decode() == "<14>1 2026-01-31T12:00:00.000001Z shop gitreceive web_1 drain - hällo"


def test_a_long_line_goes_in_several_messages_with_no_character_cut() -> None:
    text = "ü" * 10_000
    parts = [frame.decode().split(" ", 8)[8] for frame in frames(word_of_ours(SHOP, text))]
    assert len(parts) > 1
    assert "".join(parts) == text


@pytest.mark.parametrize("scheme", ["syslog+tls", "syslog+tcp", "https"])
def test_what_is_not_public_is_not_reached_unless_an_operator_allows_it(scheme: str, ground: Ground) -> None:
    ground.private = ()
    with closing(socket.create_server(("127.0.0.1", 0))) as private:
        port = private.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "169.254.169.254"):
            with closing(ground.receiver(f"{scheme}://{host}:{port}")) as receiver:
                for ask in (receiver.probe, lambda r=receiver: r.send([word_of_ours(SHOP, "x")])):
                    with pytest.raises(ForbiddenError) as refused:
                        ask()
                    assert "drains.private" in refused.value.hint
        private.settimeout(0.1)
        with pytest.raises(TimeoutError):
            private.accept()


@pytest.mark.parametrize("scheme", ["syslog+tls", "https"])
def test_a_certificate_that_nobody_vouches_for_is_refused(
    scheme: str, ground: Ground, syslog: SyslogServer, https: HttpsServer
) -> None:
    ground.certificate = make_certificate(ground.folder / "other.pem")
    port = syslog.port if scheme == "syslog+tls" else https.port
    with (
        closing(ground.receiver(f"{scheme}://localhost:{port}")) as receiver,
        pytest.raises(UnavailableError),
    ):
        receiver.send([word_of_ours(SHOP, "secret")])
    assert (syslog.messages, https.lines) == ([], [])


def test_plain_tcp_is_spoken_where_it_is_asked_for(ground: Ground) -> None:
    server = SyslogServer(None)
    server.start()
    with closing(ground.receiver(f"syslog+tcp://127.0.0.1:{server.port}")) as receiver:
        receiver.send([word_of_ours(SHOP, "plain")])
        wait_for(lambda: server.texts == ["plain"], lambda: server.messages)
        wait_for(receiver.check, lambda: "unacknowledged")
        server.kill()
        with pytest.raises(UnavailableError):
            wait_for(lambda: not receiver.check(), lambda: "still connected")


def test_settings_that_cannot_be_meant_are_told(ground: Ground) -> None:
    ground.private = ("10.0.0.0/99",)
    with pytest.raises(ConfigError, match=r"drains\.private"):
        ground.receiver("https://localhost/")
    ground.private = ("any",)
    ground.certificate = ground.folder / "missing.pem"
    with pytest.raises(ConfigError, match=r"drains\.ca_bundle"):
        ground.receiver("https://localhost/")
