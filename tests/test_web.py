"""The parts of the HTTP door that need no network: who comes in how often, and a request as a CGI program's client."""

import asyncio
import base64
import gzip
import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from gitreceive.errors import UsageError
from gitreceive.model import Reach, Scope, UserName, draw_token
from gitreceive.web.cgi import Body, CgiClient, Inflated, Response
from gitreceive.web.visitors import Attempts, TooManyAttemptsError, UnknownVisitorError, Visitors
from tests.fake_ledger import FakeLedger


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_ten_wrong_tokens_at_once_and_then_one_each_six_seconds() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(10):
        assert attempts.wait("192.0.2.7") == 0
        attempts.failed("192.0.2.7")
    assert attempts.wait("192.0.2.7") == 6
    assert attempts.wait("192.0.2.8") == 0
    clock.now += 6
    assert attempts.wait("192.0.2.7") == 0
    attempts.failed("192.0.2.7")
    assert attempts.wait("192.0.2.7") == 6
    clock.now += 60
    for _ in range(10):
        assert attempts.wait("192.0.2.7") == 0
        attempts.failed("192.0.2.7")


def test_the_addresses_of_one_ipv6_network_count_together() -> None:
    attempts = Attempts(Clock())
    for number in range(10):
        attempts.failed(f"2001:db8:0:1::{number}")
    assert attempts.wait("2001:db8:0:1:ffff::1") == 6
    assert attempts.wait("2001:db8:0:2::1") == 0


def test_what_is_remembered_of_addresses_is_bounded() -> None:
    attempts = Attempts(Clock())
    for number in range(12_000):
        attempts.failed(f"10.0.{number // 250}.{number % 250}")
    assert len(attempts._paid) == 10_000


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_who_shows_a_token_is_its_user_whatever_name_stands_beside_it() -> None:
    ledger, alice = FakeLedger(), UserName("alice")
    ledger.add_user(alice, admin=False)
    drawn = draw_token()
    ledger.create_token(drawn, alice, "ci", Reach(frozenset({Scope.DEPLOY})), timedelta(days=1), alice)
    visitors = Visitors(ledger, Attempts(Clock()))
    actor = visitors.actor(_basic(f"bob:{drawn.text.reveal()}"), "192.0.2.7")
    assert (actor.user, actor.token, actor.key, actor.address) == ("alice", drawn.id, "", "192.0.2.7")

    with pytest.raises(UnknownVisitorError):
        visitors.actor(None, "192.0.2.7")
    for _ in range(10):
        with pytest.raises(UnknownVisitorError, match="no token of this server"):
            visitors.actor(_basic(f"alice:{drawn.text.reveal()[:-1]}"), "192.0.2.7")
    with pytest.raises(TooManyAttemptsError) as caught:
        visitors.actor(_basic(f"alice:{drawn.text.reveal()}"), "192.0.2.7")
    assert caught.value.seconds == 6


Messages = list[dict[str, Any]]


def _received(*chunks: bytes, then_gone: bool = False) -> Callable[[], Coroutine[Any, Any, dict[str, Any]]]:
    messages: Messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if not then_gone:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return receive


async def _read(source: Body | Inflated, n: int = 100) -> list[bytes]:
    pieces = []
    while piece := await source.read(n):
        pieces.append(piece)
    return pieces


def test_a_body_is_read_piece_by_piece_to_its_end() -> None:
    assert asyncio.run(_read(Body(_received(b"one", b"", b"two")))) == [b"one", b"two"]


def test_a_client_that_goes_in_the_middle_is_an_error_and_not_an_end() -> None:
    with pytest.raises(ConnectionResetError):
        asyncio.run(_read(Body(_received(b"one", then_gone=True))))


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 100_000])
def test_a_body_by_gzip_is_inflated_in_small_pieces(size: int) -> None:
    content = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
    sent = gzip.compress(content)
    chunks = [sent[start : start + 1000] for start in range(0, len(sent), 1000)]
    pieces = asyncio.run(_read(Inflated(Body(_received(*chunks)))))
    assert b"".join(pieces) == content
    assert all(len(piece) <= 100 for piece in pieces)


def test_a_bomb_is_inflated_no_further_than_it_is_read() -> None:
    bomb = Inflated(Body(_received(gzip.compress(bytes(50_000_000)))))
    assert len(asyncio.run(bomb.read(1000))) <= 1000


@pytest.mark.parametrize("sent", [b"no gzip at all", gzip.compress(b"hello" * 100, mtime=0)[:-20]])
def test_what_is_no_gzip_or_only_its_beginning_is_refused(sent: bytes) -> None:
    with pytest.raises(UsageError):
        asyncio.run(_read(Inflated(Body(_received(sent)))))


def _answered(output: list[bytes], code: int, complaint: bytes = b"", sent: bytes = b"") -> Messages:
    """What a client is sent of a program's output."""
    messages: Messages = []

    async def answer() -> None:
        async def send(message: Any) -> None:
            messages.append(dict(message))

        client = CgiClient(_received(sent), Response(send))
        client.stderr.write(complaint)
        for chunk in output:
            client.stdout.write(chunk)
            await client.stdout.drain()
        await client.end(code)

    asyncio.run(answer())
    return messages


def test_a_programs_header_becomes_the_answers_and_its_body_follows_as_it_comes() -> None:
    start, *bodies = _answered([b"Content-Type: te", b"xt/x\r\nPragma: no\r\n\r\none", b"two"], 0)
    assert start["status"] == 200
    assert (b"content-type", b"text/x") in start["headers"]
    assert (b"x-accel-buffering", b"no") in start["headers"]
    assert [(body["body"], body.get("more_body", False)) for body in bodies] == [
        (b"one", True),
        (b"two", True),
        (b"", False),
    ]


def test_a_programs_own_status_stands() -> None:
    start, _ = _answered([b"Status: 403 Forbidden\r\nExpires: never\r\n\r\n"], 0)
    assert (start["status"], start["headers"][0]) == (403, (b"expires", b"never"))


def test_a_program_that_fails_before_it_says_anything_is_told_of_by_what_it_complained_of() -> None:
    start, body = _answered([b"Content-Type: text/x\r\n\r\n"], 128, b"gitreceive: no\n")
    assert (start["status"], body["body"]) == (400, b"gitreceive: no\n")
    start, body = _answered([], 1)
    assert (start["status"], body["body"]) == (500, b"git failed\n")
    start, body = _answered([], 0)
    assert (start["status"], body["body"]) == (500, b"git gave no answer\n")


def test_what_has_begun_ends_as_it_is_when_the_program_fails_later() -> None:
    start, body, end = _answered([b"Content-Type: text/x\r\n\r\nsome"], 1, b"fatal: broken\n")
    assert (start["status"], body["body"], end["body"]) == (200, b"some", b"")


def test_a_client_that_was_too_slow_is_told_so() -> None:
    start, body = _answered([], 255)
    assert (start["status"], body["body"]) == (408, b"the request took too long\n")


def test_an_answer_waits_for_what_the_client_still_sends() -> None:
    sent = b"x" * 1000
    assert _answered([b"A: b\r\n\r\nrefused"], 0, sent=sent)[-1] == {
        "type": "http.response.body",
        "body": b"",
    }
