"""Who somebody is: bound when authentication ends, to the key that has signed, and to nothing that was said before or after."""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable

import asyncssh
import pytest
from asyncssh.packet import Boolean, NameList, String, UInt32

from tests.attacks import stranger as ssh
from tests.attacks.stranger import Stranger, stranger
from tests.attacks.target import PATIENCE, Fort

pytestmark = pytest.mark.usefixtures("untouched")

_OWN, _LONG = String(b"ssh-connection"), b"x" * 70_000

# a message each, said before anybody has signed anything
EARLY: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "a session": (ssh.CHANNEL_OPEN, ssh.SESSION),
    "a connection": (
        ssh.CHANNEL_OPEN,
        (String(b"direct-tcpip"), *ssh.SESSION[1:], String(b"web.shop"), UInt32(80), String(b""), UInt32(0)),
    ),
    "a port of the server's": (ssh.GLOBAL_REQUEST, (String(b"tcpip-forward"), Boolean(True), String(b""), UInt32(0))),
    "a command on a channel that is not there": (ssh.CHANNEL_REQUEST, (UInt32(0), String(b"exec"), Boolean(True), String(b"id"))),
    "data": (ssh.CHANNEL_DATA, (UInt32(0), String(b"x"))),
    "that it is well": (ssh.USERAUTH_SUCCESS, ()),
    "that a key is well": (ssh.USERAUTH_PK_OK, (String(b"ssh-ed25519"), String(b"x"))),
    "that a service is given": (ssh.SERVICE_ACCEPT, (String(b"ssh-connection"),)),
    "another service": (ssh.SERVICE_REQUEST, (_OWN,)),
    "no method": (ssh.USERAUTH_REQUEST, (String(b"root"), _OWN, String(b"none"))),
    "a password": (ssh.USERAUTH_REQUEST, (String(b"root"), _OWN, String(b"password"), Boolean(False), String(b"x"))),
    "a new password": (ssh.USERAUTH_REQUEST, (String(b"root"), _OWN, String(b"password"), Boolean(True), String(b""), String(b"x"))),
    "a keyboard": (ssh.USERAUTH_REQUEST, (String(b"root"), _OWN, String(b"keyboard-interactive"), String(b""), String(b""))),
    "answers that nobody asked for": (61, (UInt32(1), String(b"x"))),
    "a host that vouches": (ssh.USERAUTH_REQUEST, (String(b"root"), _OWN, String(b"hostbased"), *[String(b"x")] * 5)),
    "Kerberos": (ssh.USERAUTH_REQUEST, (String(b"root"), _OWN, String(b"gssapi-with-mic"), UInt32(1), String(b"x"))),
    "a method that is none": (ssh.USERAUTH_REQUEST, (String(b"root"), _OWN, String(b"\x00\xff"))),
    "a service that is none": (ssh.USERAUTH_REQUEST, (String(b"root"), String(b"id"), String(b"none"))),
    "a long name": (ssh.USERAUTH_REQUEST, (String(_LONG), _OWN, String(b"none"))),
    "a name that is no UTF-8": (ssh.USERAUTH_REQUEST, (String(b"\xff\xfe"), _OWN, String(b"none"))),
    "half a request": (ssh.USERAUTH_REQUEST, (String(b"root")[:3],)),
    "a request with a length of 4 GiB": (ssh.USERAUTH_REQUEST, (UInt32(0xFFFFFFFF), b"x")),
    "a key that is none": (ssh.USERAUTH_REQUEST, (String(b"x"), _OWN, String(b"publickey"), Boolean(False), String(b"ssh-ed25519"), String(b"x"))),
    "a key of no known kind": (ssh.USERAUTH_REQUEST, (String(b"x"), _OWN, String(b"publickey"), Boolean(False), String(b"x"), String(b"x"))),
}  # fmt: skip


@pytest.mark.parametrize("early", EARLY.values(), ids=EARLY)
def test_nobody_comes_in_before_authentication_ends(fort: Fort, early: tuple[int, tuple[bytes, ...]]) -> None:
    async def said() -> list[int]:
        async with stranger(fort.ssh_port) as client:
            client.say(early[0], *early[1])
            first = await client.verdict()
            client.say(ssh.CHANNEL_OPEN, *ssh.SESSION)
            return [first, await client.verdict()]

    assert fort.run(said())[0] in {ssh.GONE, ssh.USERAUTH_FAILURE}
    assert fort.run(said())[1] == ssh.GONE


_Act = Callable[[Fort, Stranger], Awaitable[object]]


def _blob(change: Callable[[bytes], bytes]) -> _Act:
    """Bob's key, changed, is offered: it is not accepted."""

    async def act(fort: Fort, client: Stranger) -> object:
        client.offer(fort.keys["bob"], blob=change(fort.keys["bob"].public_data))
        return await client.verdict()

    return act


def _signed(
    name: str,
    with_key: str = "",
    session: bytes | None = None,
    user: bytes = b"git",
    signed_user: bytes | None = None,
) -> _Act:
    """A key of somebody with a signature that is not theirs over this session."""

    async def act(fort: Fort, client: Stranger) -> object:
        other = fort.keys[with_key] if with_key else None
        client.sign(fort.keys[name], user, with_key=other, session=session, signed_user=signed_user)
        return await client.verdict()

    return act


REFUSED: dict[str, _Act] = {
    "the administrator's key, signed with one's own": _signed("root", with_key="mallory"),
    "the administrator's key, signed with another's": _signed("root", with_key="bob"),
    "one's own, which nobody knows": _signed("mallory"),
    "a signature over another session": _signed("bob", session=b"x" * 32),
    "a signature over no session": _signed("bob", session=b""),
    "a signature for another name": _signed("bob", user=b"root", signed_user=b"bob"),
    "a key with more behind it": _blob(lambda blob: blob + b"x"),
    "the beginning of a key": _blob(lambda blob: blob[:-1]),
    "a key with a byte changed": _blob(lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])),
    "a key folded": _blob(bytes.swapcase),
    "nothing": _blob(lambda _: b"\0\0\0\0"),
    "a key of another kind": _blob(lambda blob: blob.replace(b"ssh-ed25519", b"ssh-rsa....")),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED)
def test_a_key_opens_to_its_own_signature_over_this_session_alone(fort: Fort, act: _Act) -> None:
    async def tried() -> list[object]:
        async with stranger(fort.ssh_port) as client:
            return [await act(fort, client), await client.who()]

    verdict, who = fort.run(tried())
    assert verdict in {ssh.GONE, ssh.USERAUTH_FAILURE}
    assert who == ""


async def _offer_then_sign(fort: Fort, client: Stranger) -> None:
    client.offer(fort.keys["root"], b"root")
    assert await client.verdict() == ssh.USERAUTH_PK_OK
    client.sign(fort.keys["bob"])


async def _at_once(fort: Fort, client: Stranger) -> None:
    client.offer(fort.keys["root"], b"root")
    client.sign(fort.keys["bob"])


async def _many_offers(fort: Fort, client: Stranger) -> None:
    for _ in range(5):
        client.offer(fort.keys["alice"], b"alice")
        client.offer(fort.keys["root"], b"root")
    client.sign(fort.keys["bob"], b"root")


async def _behind(fort: Fort, client: Stranger) -> None:
    client.sign(fort.keys["bob"])
    client.offer(fort.keys["root"], b"root")
    client.sign(fort.keys["bob"])


async def _behind_wrongly_signed(fort: Fort, client: Stranger) -> None:
    client.sign(fort.keys["bob"])
    client.sign(fort.keys["root"], b"root", with_key=fort.keys["bob"])
    client.sign(fort.keys["bob"])


async def _another_name(fort: Fort, client: Stranger) -> None:
    client.offer(fort.keys["bob"], b"alice")
    assert await client.verdict() == ssh.USERAUTH_PK_OK
    client.sign(fort.keys["bob"], b"root")


async def _wrong_first(fort: Fort, client: Stranger) -> None:
    client.sign(fort.keys["root"], b"root", with_key=fort.keys["bob"])
    assert await client.verdict() == ssh.USERAUTH_FAILURE
    client.sign(fort.keys["bob"], b"root")


ORDERS = (
    _offer_then_sign,
    _at_once,
    _many_offers,
    _behind,
    _behind_wrongly_signed,
    _another_name,
    _wrong_first,
)


@pytest.mark.parametrize("act", ORDERS, ids=[act.__name__ for act in ORDERS])
def test_somebody_is_whose_key_has_signed_whatever_else_was_said(
    fort: Fort, act: Callable[[Fort, Stranger], Awaitable[None]]
) -> None:
    async def tried() -> str:
        async with stranger(fort.ssh_port) as client:
            await act(fort, client)
            while await client.verdict() != ssh.USERAUTH_SUCCESS:
                pass
            return await client.who()

    assert fort.run(tried()) == "bob"


def test_a_certificate_that_one_has_signed_oneself_says_nothing(fort: Fort) -> None:
    mallory = fort.keys["mallory"]
    certificate = mallory.generate_user_certificate(mallory, "root", principals=["root", "git", "alice"])

    async def tried() -> None:
        await fort.connect("mallory", client_keys=[(mallory, certificate)], username="root")

    with pytest.raises(asyncssh.PermissionDenied):
        fort.run(tried())


def _packet(content: bytes) -> bytes:
    """Before keys are exchanged nothing is encrypted (RFC 4253, 6)."""
    padding = 8 - (len(content) + 5) % 8 + 8
    return struct.pack(">IB", len(content) + padding + 1, padding) + content + b"\0" * padding


def _offer(kex: bytes = b"curve25519-sha256,kex-strict-c-v00@openssh.com") -> bytes:
    lists = [
        kex,
        b"ssh-ed25519",
        *[b"aes128-ctr"] * 2,
        *[b"hmac-sha2-256-etm@openssh.com"] * 2,
        *[b"none"] * 2,
        b"",
        b"",
    ]
    return _packet(b"\x14" + b"\0" * 16 + b"".join(NameList(one.split(b",")) for one in lists) + b"\0" * 5)


HELLO = b"SSH-2.0-x\r\n"
BEGINNINGS = {
    "an ignored message behind the offer (Terrapin)": HELLO + _offer() + _packet(b"\x02\0\0\0\0"),
    "an ignored message before the offer (Terrapin)": HELLO + _packet(b"\x02\0\0\0\0") + _offer(),
    "a debug message before the offer": HELLO + _packet(b"\x04\0\0\0\0\0\0\0\0\0") + _offer(),
    "an unknown message before the offer": HELLO + _packet(b"\xc0") + _offer(),
    "two offers": HELLO + _offer() + _offer(),
    "new keys at once": HELLO + _offer() + _packet(b"\x15"),
    "a session at once": HELLO + _offer() + _packet(b"\x5a" + String(b"session")),
    "an offer of nothing known": HELLO + _offer(b"none"),
    "an old exchange": HELLO + _offer(b"diffie-hellman-group1-sha1"),
    "half an offer": HELLO + _packet(b"\x14" + b"\0" * 10),
    "a point that is no key": HELLO + _offer() + _packet(b"\x1e" + String(b"\0" * 32)),
    "a point that is short": HELLO + _offer() + _packet(b"\x1e" + String(b"\0" * 5)),
    "a packet of 4 GiB": HELLO + b"\xff" * 64,
    "a packet of nothing": HELLO + b"\0" * 64,
    "more padding than packet": HELLO + struct.pack(">IB", 12, 255) + b"\0" * 32,
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500 + b"\n",
    "the first version": b"SSH-1.5-x\r\n",
    "a version of 1 MiB": b"SSH-2.0-" + b"x" * (1 << 20) + b"\r\n",
    "a version that is no text": b"SSH-2.0-\xff\xfe\x00\r\n",
    "many lines before it": b"x\r\n" * 100_000,
    "NULs": b"\0" * 1000 + b"\n",
}


@pytest.mark.parametrize("said", BEGINNINGS.values(), ids=BEGINNINGS)
def test_what_begins_wrongly_is_hung_up_on(fort: Fort, said: bytes) -> None:
    heard = fort.speak(said, port=fort.ssh_port, seconds=10)
    assert heard.startswith(b"SSH-2.0-gitreceive") or not heard
    assert b"\x1f" + String(b"ssh-ed25519") not in heard, "it went on with the exchange"


def test_ssh_audit_finds_nothing_to_fail(fort: Fort) -> None:
    command = [
        sys.executable,
        "-m",
        "ssh_audit.ssh_audit",
        "--json",
        "--port",
        str(fort.ssh_port),
        "127.0.0.1",
    ]
    said = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    found = json.loads(said.stdout)
    notes = {
        (kind, entry["algorithm"]): entry["notes"]
        for kind in ("kex", "key", "enc", "mac")
        for entry in found[kind]
    }
    assert len(notes) >= 10
    assert {name: note["fail"] for name, note in notes.items() if note.get("fail")} == {}
    warned = {name for (_, name), note in notes.items() if note.get("warn")}
    assert warned <= {
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
    }  # for clients that know no newer exchange
    assert ("kex", "kex-strict-s-v00@openssh.com") in notes
    assert found["cves"] == []


def test_connections_that_say_nothing_keep_nobody_out(fort: Fort) -> None:
    silent = [socket.create_connection(("127.0.0.1", fort.ssh_port)) for _ in range(30)]
    try:
        fort.run(fort.connect()).abort()
    finally:
        for one in silent:
            one.close()
