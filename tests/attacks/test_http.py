"""The HTTP door: what is said before, around and behind a request."""

import gzip
import re
import zlib

import pytest

from tests.attacks.target import Fort, packet

pytestmark = pytest.mark.usefixtures("untouched")

_ASK = "GET /shop/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: x\r\n"
_POST = "POST /shop/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-git-receive-pack-request\r\n"

# AUTH stands for alice's token
STRANGE = {
    "no request": "\r\n\r\n",
    "no version": "GET /shop/info/refs\r\n\r\n",
    "a version of two numbers": "GET /healthz HTTP/1.1.1\r\nHost: x\r\n\r\n",
    "no host": "GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a method that is none": "FOO /shop/info/refs HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "a method with a blank": "G ET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "deleting": "DELETE /shop/info/refs HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "a tunnel": "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a trace": "TRACE / HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "another server": "GET http://169.254.169.254/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path up": "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path up, written otherwise": "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "a file of the repository": "GET /shop.git/config HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "an object": "GET /shop/objects/info/packs HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "a path with a NUL": "GET /shop%00/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "a raw NUL": "GET /sh\0op HTTP/1.1\r\nHost: x\r\n\r\n",
    "no UTF-8": "GET /%ff%fe/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "a percent alone": "GET /%/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "a path of 100 KiB": f"GET /{'a' * 100_000} HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header of 1 MiB": f"{_ASK}X: {'a' * (1 << 20)}\r\n\r\n",
    "100,000 headers": _ASK + "X: a\r\n" * 100_000 + "\r\n",
    "a header without a name": f"{_ASK}: x\r\n\r\n",
    "a header with a blank": f"{_ASK}Content-Length : 5\r\n\r\n",
    "a folded header": f"{_ASK}X: a\r\n b\r\n\r\n",
    "a header with a NUL": f"{_ASK}X: a\0b\r\n\r\n",
    "a lone carriage return": f"{_ASK}X: a\rAuthorization: x\r\n\r\n",
    "another service": "GET /shop/info/refs?service=git-upload-archive HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "no service": "GET /shop/info/refs HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "a service with a command": "GET /shop/info/refs?service=git-receive-pack;id HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "a service with an end of line": "GET /shop/info/refs?service=git-receive-pack%0d%0aX:%20y HTTP/1.1\r\nHost: x\r\nAUTH\r\n",
    "both lengths": f"{_POST}AUTH0Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0000",
    "two lengths": f"{_POST}AUTH0Content-Length: 4\r\nContent-Length: 5\r\n\r\n00000",
    "a length below nothing": f"{_POST}AUTH0Content-Length: -1\r\n\r\n0000",
    "a length with a sign": f"{_POST}AUTH0Content-Length: +4\r\n\r\n0000",
    "a length in hexadecimal": f"{_POST}AUTH0Content-Length: 0x4\r\n\r\n0000",
    "a length of many digits": f"{_POST}AUTH0Content-Length: {'9' * 5000}\r\n\r\n0000",
    "another coding": f"{_POST}AUTH0Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding twice": f"{_POST}AUTH0Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a piece of no size": f"{_POST}AUTH0Transfer-Encoding: chunked\r\n\r\nxyz\r\n0000\r\n0\r\n\r\n",
    "a piece of a size below nothing": f"{_POST}AUTH0Transfer-Encoding: chunked\r\n\r\n-4\r\n0000\r\n0\r\n\r\n",
    "a piece of 16 EiB": f"{_POST}AUTH0Transfer-Encoding: chunked\r\n\r\n{'f' * 40}\r\n0000",
    "a piece that is longer than it says": f"{_POST}AUTH0Transfer-Encoding: chunked\r\n\r\n2\r\n0000\r\n0\r\n\r\n",
    "a body by another program": f"{_POST}AUTH0Content-Length: 4\r\nContent-Encoding: br\r\n\r\n0000",
    "a body by two": f"{_POST}AUTH0Content-Length: 4\r\nContent-Encoding: gzip, gzip\r\n\r\n0000",
    "another kind of body": "POST /shop/git-receive-pack HTTP/1.1\r\nHost: x\r\nAUTH0Content-Type: a/b\r\nContent-Length: 4\r\n\r\n0000",
    "a kind of body with an end": f"{_POST.replace('x-git', 'x%0d%0a-git')}AUTH0Content-Length: 4\r\n\r\n0000",
    "what is no pkt-line": f"{_POST}AUTH0Content-Length: 9\r\n\r\nnot at all",
}  # fmt: skip


@pytest.mark.parametrize("sent", STRANGE.values(), ids=STRANGE)
def test_a_strange_request_is_refused_in_one_answer(fort: Fort, sent: str) -> None:
    text = sent.replace("AUTH0", fort.basic("alice")).replace("AUTH", f"{fort.basic('alice')}")
    heard = fort.speak(_ending(text), seconds=5)
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", heard)
    assert len(statuses) <= 1, heard
    assert not statuses or 400 <= int(statuses[0]) < 500, heard
    assert b"root:" not in heard
    assert b"\r\nX: y" not in heard


def _ending(text: str) -> bytes:
    """The server is to hang up after it, where it is a whole request."""
    head, blank, body = text.partition("\r\n\r\n")
    if head.count("\r\n") and "\r\n" in head and blank:
        return f"{head}\r\nConnection: close\r\n\r\n{body}".encode("latin-1")
    return (
        f"{text}\r\nConnection: close\r\n\r\n".encode("latin-1")
        if text.endswith("\r\n")
        else text.encode("latin-1")
    )


LOGINS = {
    "nothing": "",
    "no scheme": "Authorization: \r\n",
    "a scheme alone": "Authorization: Basic\r\n",
    "another scheme": "Authorization: Bearer TOKEN\r\n",
    "digest": 'Authorization: Digest username="root"\r\n',
    "no base64": "Authorization: Basic !!!!\r\n",
    "no colon": "Authorization: Basic cm9vdA==\r\n",
    "nobody": "Authorization: Basic Og==\r\n",
    "a NUL": "Authorization: Basic AHg6AA==\r\n",
    "no UTF-8": "Authorization: Basic //86//8=\r\n",
    "64 KiB": f"Authorization: Basic {'A' * 60_000}\r\n",
    "another's name by a header": "X-Remote-User: root\r\nRemote-User: root\r\nX-Forwarded-User: root\r\n",
}


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
def test_what_is_no_token_lets_nobody_in(fort: Fort, login: str) -> None:
    elsewhere = "127.0.0.2"  # from where others do not come: wrong tokens count
    heard = fort.speak(f"{_ASK}{login}Connection: close\r\n\r\n".encode(), come_from=elsewhere)
    assert heard.split()[1] in {b"401", b"429", b"400", b"431"}, heard
    assert b"shop" not in heard


def test_a_request_behind_a_request_is_its_own(fort: Fort) -> None:
    """What is smuggled in a body is a body; what follows is asked for with its own login, or with none."""
    inner = "GET /shop/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    whole = f"{_POST}{fort.basic('alice')}Content-Length: {len(inner)}\r\nConnection: close\r\n\r\n{inner}"
    heard = fort.speak(whole.encode())
    assert re.findall(rb"HTTP/1\.1 (\d+)", heard) == [b"400"]
    heard = fort.speak(f"{_ASK}{fort.basic('alice')}\r\n{inner}".encode())
    assert re.findall(rb"HTTP/1\.1 (\d+)", heard)[1:] == [b"401"]


@pytest.mark.parametrize(
    "host", ["x\x1b[2J", "$(id)", "-x", "a/b", "evil.example.com@x", "x" * 5000, "[::1", "x y"]
)
def test_a_host_that_is_none_is_not_shown_to_anybody(fort: Fort, host: str) -> None:
    body = packet(f"{'0' * 40} {fort.head()} refs/heads/x\0 report-status".encode()) + b"0000"
    head = f"{_POST.replace('Host: x', f'Host: {host}')}{fort.basic('alice')}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    heard = fort.speak(head.encode() + body)
    assert host.encode() not in heard


def test_a_bomb_in_a_body_makes_the_server_no_larger(fort: Fort) -> None:
    """64 MiB of NULs in 64 KiB are not inflated: what follows the first pkt-line is not git's."""
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"\0" * (1 << 20)
    body = b"".join(packed.compress(zeros) for _ in range(64)) + packed.flush()
    before = fort.memory()
    head = f"{_POST}{fort.basic('alice')}Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    heard = fort.speak(head.encode() + body)
    assert re.findall(rb"HTTP/1\.1 (\d+)", heard) == [b"400"]
    lines = gzip.compress(packet(b"x" * 65_000) * 400)
    head = f"{_POST}{fort.basic('alice')}Content-Encoding: gzip\r\nContent-Length: {len(lines)}\r\nConnection: close\r\n\r\n"
    heard = fort.speak(head.encode() + lines)
    assert re.findall(rb"HTTP/1\.1 (\d+)", heard) in ([b"400"], [])
    assert fort.memory() - before < 64 << 20
