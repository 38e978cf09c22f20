"""What is particular to the HTTP door: who comes in, by which way, and what it answers to others than git."""

import base64
import gzip
import http.client
import re
import socket
import ssl
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gitreceive.errors import ConfigError
from gitreceive.model import AppName, EventQuery, JobId, JobState, Outcome, Scope, UserName
from gitreceive.web.listener import Times
from tests.receive.certificates import Authority
from tests.receive.conftest import SHOP, Clone, Place
from tests.receive.pushes import pushing, until

ADVERTISED = "/shop/info/refs?service=git-receive-pack"


@pytest.fixture
def door() -> str:
    return "http"


def ask(
    place: Place,
    path: str,
    *,
    method: str = "GET",
    user: str | None = None,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[http.client.HTTPResponse, str]:
    assert place.http
    connection = http.client.HTTPConnection("127.0.0.1", place.http.port, timeout=20)
    given = {"Authorization": authorization(place.tokens[user])} if user else {}
    try:
        connection.request(method, path, body, {**given, **(headers or {})})
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


def authorization(token: str) -> str:
    return "Basic " + base64.b64encode(f"git:{token}".encode()).decode()


def configure(place: Place, **changes: object) -> None:
    """Before ``start``."""
    place.settings = replace(place.settings, http=replace(place.settings.http, **changes))  # type: ignore[arg-type]


def test_nobody_learns_without_a_token_which_apps_there_are(place: Place) -> None:
    known, said = ask(place, ADVERTISED)
    unknown, other = ask(place, ADVERTISED.replace("shop", "blog"))
    assert (known.status, unknown.status) == (401, 401)
    assert known.headers["WWW-Authenticate"] == 'Basic realm="gitreceive", charset="UTF-8"'
    assert said == other == "a token is needed\n  the token is the password, and any name will do\n"
    same = {name: value for name, value in known.headers.items() if name != "date"}
    assert same == {name: value for name, value in unknown.headers.items() if name != "date"}


def test_a_wrong_token_is_told_so_by_git(place: Place, clone: Clone) -> None:
    (place.folder / "alice.token").write_text("#!/bin/sh\necho wrong\n")
    pushed = clone.push()
    assert pushed.code == 128
    assert "remote: this is no token of this server, or it has run out or was revoked" in pushed.err
    assert "fatal: Authentication failed for" in pushed.err


def test_wrong_tokens_are_counted_and_after_ten_there_is_a_wait(place: Place) -> None:
    wrong = {"Authorization": authorization("wrong")}
    for _ in range(10):
        assert ask(place, ADVERTISED, headers=wrong)[0].status == 401
    for headers in (wrong, {"Authorization": authorization(place.tokens["alice"])}):
        answer, said = ask(place, ADVERTISED, headers=headers)
        assert answer.status == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 6
        assert re.match(r"too many wrong tokens came from this address; try again in \d s\n", said)
    assert ask(place, ADVERTISED)[0].status == 401


@pytest.mark.parametrize(
    "given",
    ["Bearer x", "Basic", "Basic %%%", "Basic " + base64.b64encode(b"no-colon").decode(), "Basic /w=="],
)
def test_what_is_no_login_lets_nobody_in(place: Place, given: str) -> None:
    assert ask(place, ADVERTISED, headers={"Authorization": given})[0].status == 401


def test_who_may_not_push_reads_so_and_how_to_ask(place: Place, clone: Clone) -> None:
    clone.user = "bob"
    pushed = clone.push()
    assert pushed.code == 128
    assert "remote: bob may not push to shop" in pushed.err
    assert (
        "remote:   ask its owner, alice, or an administrator: access add shop bob --role ROLE" in pushed.err
    )


def test_a_token_reaches_as_far_as_it_was_made_for(place: Place, clone: Clone) -> None:
    place.token("alice", Scope.READ)
    pushed = clone.push()
    assert pushed.code == 128
    assert "remote: this token of alice does not reach so far: it may not push to shop" in pushed.err
    assert clone.git("ls-remote", place.url()).code == 0
    place.token("alice", Scope.DEPLOY, apps=frozenset({AppName("blog")}))
    assert "does not reach so far" in clone.push().err
    id_ = place.token("alice", Scope.DEPLOY, apps=frozenset({SHOP}))
    assert clone.push().code == 0
    place.ledger.revoke_token(id_)
    clone.commit(index_html="more")
    assert "it has run out or was revoked" in clone.push().err


def test_a_token_that_is_revoked_ends_the_push_that_is_watched_and_not_its_build(
    place: Place, clone: Clone
) -> None:
    id_ = place.token("alice", Scope.DEPLOY)
    place.runner.paused.set()
    with pushing(clone) as push:
        assert push.stderr
        while "Build 1" not in push.stderr.readline():
            pass
        place.ledger.revoke_token(id_)
        said = push.stderr.read()
    assert "remote:  !     the token is no longer good: it has expired, or was revoked" in said
    assert "a build that was begun goes on" in said
    assert push.returncode != 0
    place.runner.paused.clear()
    until(lambda: place.ledger.job(JobId(1)).state is JobState.LIVE)
    assert place.head() == clone.head


def test_what_comes_by_a_token_is_recorded_so(place: Place, clone: Clone) -> None:
    id_ = place.token("bob", Scope.DEPLOY)
    clone.user = "bob"
    clone.push()
    [denied] = [
        e.happening
        for e in place.ledger.events(EventQuery(user=UserName("bob")))
        if e.happening.verb == "push"
    ]
    assert (denied.via, denied.address, denied.outcome) == (f"token {id_}", "127.0.0.1", Outcome.DENIED)


def test_a_token_for_one_app_makes_no_other(unstarted: Place, tmp_path: Path) -> None:
    unstarted.policy(create_on_push=True)
    unstarted.token("alice", Scope.DEPLOY, apps=frozenset({SHOP}))
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone")
    clone.commit(index_html="hello")
    assert "may not create apps" in clone.push(app="blog").err
    assert [app.name for app in unstarted.ledger.apps()] == ["shop"]
    unstarted.token("alice", Scope.ALL)
    assert clone.push(app="blog").code == 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/shop/info/refs", 400),
        ("/shop/info/refs?service=git-upload-archive", 400),
        ("/..%2fshop/info/refs?service=git-receive-pack", 404),
        ("/shop%00/info/refs?service=git-receive-pack", 400),
        ("/-shop/info/refs?service=git-receive-pack", 400),
        ("/shop/HEAD", 404),
        ("/shop/objects/info/packs", 404),
        ("/shop.git/config", 404),
        ("/", 404),
    ],
)
def test_nothing_but_the_smart_protocol_is_served(place: Place, path: str, status: int) -> None:
    assert ask(place, path, user="root")[0].status == status


def test_a_push_that_makes_no_sense_is_refused_in_words(place: Place) -> None:
    git = {"Content-Type": "application/x-git-receive-pack-request"}
    for body, more, status in (
        (b"not a pkt-line", {}, 400),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"not a pkt-line"), {"Content-Encoding": "gzip"}, 400),
        (b"0000", {"Content-Encoding": "br"}, 400),
        (b"0000", {}, 200),
        (gzip.compress(b"0000"), {"Content-Encoding": "gzip"}, 200),
        (b"", {"Content-Type": "text/plain"}, 415),
    ):
        answer, said = ask(
            place, "/shop/git-receive-pack", method="POST", user="alice", body=body, headers=git | more
        )
        assert (body, answer.status) == (body, status), said
        assert "Traceback" not in said


def test_health_needs_no_token(place: Place) -> None:
    assert ask(place, "/healthz")[1] == "ok\n"
    assert ask(place, "/readyz")[1] == "ok\n"


def test_a_token_is_not_asked_for_where_others_could_read_it(unstarted: Place) -> None:
    """The proxy is trusted, and says that its client came by plain HTTP."""
    configure(unstarted, trusted_proxies=("127.0.0.1",))
    unstarted.start()
    plain = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"}
    answer, said = ask(unstarted, ADVERTISED, headers=plain)
    assert (answer.status, "WWW-Authenticate" in answer.headers) == (403, False)
    assert "tokens are not taken over plain HTTP" in said
    assert ask(unstarted, ADVERTISED, headers={**plain, "X-Forwarded-Proto": "https"})[0].status == 401
    configure(unstarted, plain=True)
    unstarted.stop()
    unstarted.start()
    assert ask(unstarted, ADVERTISED, headers=plain)[0].status == 401


def test_what_a_proxy_says_counts_from_those_alone_that_are_named(place: Place) -> None:
    """Else everybody could say that they come from somewhere else, and try as many tokens as they like."""
    for number in range(10):
        spoofed = {"Authorization": authorization("wrong"), "X-Forwarded-For": f"192.0.2.{number}"}
        assert ask(place, ADVERTISED, headers=spoofed)[0].status == 401
    assert ask(place, ADVERTISED, headers={"Authorization": authorization("x")})[0].status == 429


def test_wrong_tokens_count_for_the_client_behind_a_proxy_and_not_for_the_proxy(unstarted: Place) -> None:
    configure(unstarted, trusted_proxies=("127.0.0.0/8",))
    unstarted.start()

    def status(client: str) -> int:
        forwarded = {"X-Forwarded-For": f"203.0.113.1, {client}", "X-Forwarded-Proto": "https"}
        return ask(unstarted, ADVERTISED, headers={"Authorization": authorization("wrong"), **forwarded})[
            0
        ].status

    assert {status("192.0.2.7") for _ in range(10)} == {401}
    assert (status("192.0.2.7"), status("192.0.2.8")) == (429, 401)


def test_the_public_url_is_what_users_are_shown(unstarted: Place, tmp_path: Path) -> None:
    unstarted.settings = replace(unstarted.settings, public_url="https://git.example.com/")
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone")
    clone.commit(index_html="hello")
    pushed = clone.push("main:feature")
    assert "git push https://git.example.com/shop feature:main" in pushed.err


def test_a_push_over_https_trusts_the_authority_that_git_is_told_of(unstarted: Place, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("127.0.0.1")
    configure(unstarted, certificate=str(pair.certificate), key=str(pair.key))
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone")
    clone.commit(index_html="hello")
    untrusting = clone.push()
    assert untrusting.code == 128
    assert "certificate" in untrusting.err
    pushed = clone.git("push", unstarted.url(), "main", GIT_SSL_CAINFO=str(authority.certificate))
    assert pushed.code == 0, pushed.err
    assert "remote: -----> v1 is live" in pushed.err


def test_a_renewed_certificate_is_shown_without_a_restart(unstarted: Place, tmp_path: Path) -> None:
    unstarted.times = Times(looks=0)
    authority = Authority(tmp_path)
    pair = authority.issue("127.0.0.1")
    configure(unstarted, certificate=str(pair.certificate), key=str(pair.key))
    unstarted.start()
    assert unstarted.http
    where = ("127.0.0.1", unstarted.http.port)
    first = ssl.get_server_certificate(where, ca_certs=str(authority.certificate))
    authority.issue("127.0.0.1")
    end = time.monotonic() + 20
    while ssl.get_server_certificate(where, ca_certs=str(authority.certificate)) == first:
        assert time.monotonic() < end, "the old certificate is still shown"
        time.sleep(0.1)


def test_a_certificate_that_cannot_be_read_is_an_error_that_names_it(
    unstarted: Place, tmp_path: Path
) -> None:
    configure(unstarted, certificate=str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match=r"none\.pem.*No such file"):
        unstarted.start()


@pytest.mark.parametrize("url", ["git.example.com", "ssh://git.example.com", "https://", "https://a?b"])
def test_a_public_url_that_is_none_is_an_error(unstarted: Place, url: str) -> None:
    unstarted.settings = replace(unstarted.settings, public_url=url)
    with pytest.raises(ConfigError, match="public_url"):
        unstarted.start()


def test_an_address_in_use_is_an_error_that_says_which(unstarted: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        unstarted.settings = replace(unstarted.settings, http_listen=address)
        with pytest.raises(ConfigError, match=f"{address} cannot be listened on"):
            unstarted.start()


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HT"]
)
def test_a_client_that_says_no_whole_request_is_sent_away(unstarted: Place, said: bytes) -> None:
    unstarted.times = Times(head=0.3)
    unstarted.start()
    assert unstarted.http
    with socket.create_connection(("127.0.0.1", unstarted.http.port), timeout=20) as client:
        client.sendall(said)
        received = b""
        try:
            while chunk := client.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
    assert received.count(b"200 OK") == said.count(b"\r\n\r\n")


def test_a_large_push_leaves_the_server_as_small_as_it_was(place: Place, clone: Clone) -> None:
    """The pack goes through in pieces: 60 MB of it in a process whose own memory is measured."""
    clone.push()
    with (clone.path / "large.bin").open("wb") as large, open("/dev/urandom", "rb") as noise:
        large.write(noise.read(60_000_000))
    clone.commit()
    before = _memory()
    assert clone.push().code == 0
    assert _memory() - before < 30_000_000


def _memory() -> int:
    """The most that this process, which is the server, ever had, in bytes."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10


def test_a_proxy_that_speaks_http_1_0_gets_a_whole_answer(place: Place) -> None:
    assert place.http
    with socket.create_connection(("127.0.0.1", place.http.port), timeout=20) as client:
        login = authorization(place.tokens["alice"])
        client.sendall(f"GET {ADVERTISED} HTTP/1.0\r\nAuthorization: {login}\r\n\r\n".encode())
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"x-accel-buffering: no" in received.lower()
    assert received.endswith(b"0000")


def test_no_process_is_left_of_many_clients_at_once(place: Place, clone: Clone) -> None:
    clone.push()
    environment = place.environment("alice")
    clients = [
        subprocess.Popen(
            ["git", "ls-remote", place.url()], cwd=place.folder, env=environment, stdout=subprocess.PIPE
        )
        for _ in range(20)
    ]
    outputs = [client.communicate(timeout=60)[0] for client in clients]
    assert all(clone.head.encode() in output for output in outputs)
