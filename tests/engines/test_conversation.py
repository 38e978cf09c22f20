"""When a connection is between two requests."""

import pytest

from gitreceive.engines.docker_target.conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_new_connection_is_between_requests() -> None:
    assert Conversation().between_requests


def test_a_request_is_under_way_until_its_answer_is_whole() -> None:
    talk = Conversation()
    for piece in (GET[:7], GET[7:]):
        talk.from_client(piece)
        assert not talk.between_requests
    for piece in (OK[:20], OK[20:-1]):
        talk.from_server(piece)
        assert not talk.between_requests
    talk.from_server(OK[-1:])
    assert talk.between_requests


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", OK),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", OK),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK),
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        ),
    ],
)
def test_each_way_to_say_where_a_message_ends_is_understood(request_: bytes, answer: bytes) -> None:
    talk = Conversation()
    for _ in range(3):
        for byte in request_:
            talk.from_client(bytes([byte]))
        assert not talk.between_requests
        for byte in answer:
            talk.from_server(bytes([byte]))
        assert talk.between_requests


def test_what_a_client_sent_ahead_is_a_request_under_way() -> None:
    talk = Conversation()
    talk.from_client(GET + GET)
    talk.from_server(OK)
    assert not talk.between_requests
    talk.from_server(OK)
    assert talk.between_requests


def test_a_body_that_ends_with_the_connection_is_never_over() -> None:
    talk = Conversation()
    talk.from_client(GET)
    talk.from_server(b"HTTP/1.1 200 OK\r\n\r\nsome")
    assert talk.understood
    assert not talk.between_requests


def test_an_answer_that_says_close_ends_the_connection() -> None:
    talk = Conversation()
    talk.from_client(GET)
    talk.from_server(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
    assert not talk.between_requests


def test_a_websocket_is_never_between_requests() -> None:
    talk = Conversation()
    talk.from_client(GET.replace(b"\r\n\r\n", b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"))
    talk.from_server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    talk.from_server(b"\x81\x02hi")
    talk.from_client(b"\x81\x02hi")
    assert not talk.between_requests


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9\r\n\r\n", b"\0" * 40 + b"\r\n\r\n"]
)
def test_what_is_not_http_is_left_where_it_is(noise: bytes) -> None:
    talk = Conversation()
    talk.from_client(noise)
    talk.from_server(noise)
    assert not talk.between_requests
