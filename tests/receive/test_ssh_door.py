"""The door itself: who comes in, and what they can ask for."""

import asyncio
import json
import socket
import stat
import struct
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from gitreceive.errors import ConfigError
from gitreceive.receive.ssh_door import host_key
from tests.receive.conftest import Outcome, Place, outcome
from tests.receive.screen import terminal


def test_a_greeting_says_who_one_is_and_what_to_do(place: Place) -> None:
    seen = place.ssh()
    assert seen.code == 0
    assert "Hello alice, this is gitreceive." in seen.out
    assert f"git push ssh://git@127.0.0.1:{place.port}/APP BRANCH" in seen.out
    assert "Hello root (administrator)" in place.ssh(user="root").out


def test_an_unknown_key_is_refused(place: Place) -> None:
    seen = place.ssh("whoami", user="stranger")
    assert seen.code == 255
    assert "Permission denied (publickey)" in seen.err


def test_a_removed_key_is_refused_at_once(place: Place) -> None:
    assert place.ssh(user="bob").code == 0
    place.ledger.remove_key("SHA256:bob")
    assert place.ssh(user="bob").code == 255


def test_a_command_gets_its_words_its_input_and_its_user_and_gives_its_exit_code(place: Place) -> None:
    seen = place.ssh("config", "set", "'A=1 2'", "'$(id)'", "';x'")
    assert (seen.code, seen.err) == (7, "talk\n")
    shown = json.loads(seen.out)
    assert shown["argv"] == ["config", "set", "A=1 2", "$(id)", ";x"]
    assert shown["environment"]["GITRECEIVE_ACTING_USER"] == "alice"
    assert shown["environment"]["GITRECEIVE_DATA_DIR"] == str(place.settings.data_dir)
    assert place.ssh("cat", stdin=b"hello").out == "hello"


def test_a_command_ends_with_its_client(place: Place) -> None:
    command = ["ssh", *place._options("alice"), "-p", str(place.port), "git@127.0.0.1", "sleep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        assert client.stdout
        pid = int(client.stdout.readline())
        client.kill()
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, "the command outlives its client"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "text",
    [
        "git-receive-pack 'shop",
        "git-receive-pack 'shop'; id",
        "git-receive-pack '../shop'",
        "git-receive-pack 'app$(id)'",
        "git-upload-pack '--upload-pack=id'",
        "git-upload-archive 'shop'",
        "a\nb",
    ],
)
def test_a_hostile_command_is_refused_in_words(place: Place, text: str) -> None:
    seen = place.ssh(text)
    assert seen.code == 2
    assert seen.err.startswith("gitreceive: ")
    assert "uid=" not in seen.out + seen.err


def test_nothing_else_of_ssh_is_served(place: Place) -> None:
    assert place.ssh("sftp", options=("-s",)).code != 0
    assert place.ssh("other", options=("-s",)).code != 0
    refused = place.ssh("x", options=("-R", "0:127.0.0.1:22", "-oExitOnForwardFailure=yes"))
    assert refused.code == 255
    assert "remote port forwarding failed" in refused.err
    assert "SSH_AUTH_SOCK" not in place.ssh("env", options=("-A",)).out


def test_a_command_gets_a_terminal_of_the_client_s_size_and_modes(place: Place) -> None:
    asked = ["stty", "-echo", "intr", "^X", "rows", "33", "columns", "101"]
    with terminal(place, "terminal", before=asked) as screen:
        seen = json.loads(screen.line())
        assert seen == {"size": [101, 33], "term": "vt220", "echo": False, "intr": "\x18", "own": True}
        screen.resize(44, 122)
        assert screen.line() == b"122 44"
        screen.types(b"\x18")
        assert screen.line() == b"interrupted"
        assert screen.ends() == 5


def test_a_command_in_a_terminal_ends_with_its_client(place: Place) -> None:
    with terminal(place, "sleep") as screen:
        pid = int(screen.line())
        screen.client.kill()
        end = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < end, "the command outlives its client"
            time.sleep(0.05)


def test_what_the_door_says_itself_is_set_right_on_a_raw_terminal(place: Place) -> None:
    assert "\r\n  to deploy:" in place.ssh(options=("-tt",)).out
    assert "close the quotes\r\n" in place.ssh('"', options=("-tt",)).err


def test_a_connection_is_made_to_a_process_of_one_s_own_app_only(place: Place) -> None:
    def asked(host: str, user: str = "alice") -> Outcome:
        return place.ssh(options=("-v", "-W", f"{host}:8080"), user=user)

    assert json.loads(asked("web.2.shop").out)["argv"] == [
        "port-forward", "--app", "shop", "--ps", "web.2", "--stdio", "8080",
    ]  # fmt: skip
    assert json.loads(asked("shop", "root").out)["argv"][4] == "web"
    for host, user, reason in (
        ("web.shop", "bob", "bob may not configure shop"),
        ("web.blog", "alice", "no app blog"),
        ("--help.shop", "alice", "PROCESS.APP"),
        ("localhost", "alice", "no app localhost"),
    ):
        seen = asked(host, user)
        assert (seen.code != 0, seen.out) == (True, "")
        assert "administratively prohibited" in seen.err
        assert reason in seen.err


def test_no_connection_is_made_for_a_client(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inner:
        inner.settimeout(0.5)
        port = inner.getsockname()[1]
        assert place.ssh(options=("-W", f"127.0.0.1:{port}")).code != 0
        with pytest.raises(TimeoutError):
            inner.accept()


@pytest.mark.parametrize(
    ("option", "taken"),
    [
        ("KexAlgorithms=diffie-hellman-group14-sha256", False),
        ("KexAlgorithms=ecdh-sha2-nistp256", False),
        ("KexAlgorithms=curve25519-sha256", True),
        ("Ciphers=aes128-cbc", False),
        ("Ciphers=aes128-ctr", True),
        ("HostKeyAlgorithms=rsa-sha2-512", False),
        ("HostKeyAlgorithms=ssh-ed25519", True),
    ],
)
def test_old_algorithms_are_not_taken(place: Place, option: str, taken: bool) -> None:
    assert place.ssh(options=(f"-o{option}",)).code == (0 if taken else 255)


@pytest.mark.parametrize(
    ("mac", "taken"),
    [("hmac-sha1", False), ("hmac-sha2-256", False), ("hmac-sha2-256-etm@openssh.com", True)],
)
def test_old_macs_are_not_taken(place: Place, mac: str, taken: bool) -> None:
    seen = place.ssh(options=("-oCiphers=aes128-ctr", f"-oMACs={mac}"))
    assert seen.code == (0 if taken else 255)


def test_the_key_that_signs_is_the_one_that_counts(place: Place) -> None:
    """An administrator's public key is offered first, as anybody can; the signature is made with one's own."""
    (place.folder / "lent.pub").write_text((place.folder / "root.pub").read_text())
    offers = ["-oIdentitiesOnly=yes", "-i", str(place.folder / "lent.pub"), "-i", str(place.folder / "bob")]
    place.ssh()
    known = f"-oUserKnownHostsFile={place.folder / 'known_hosts'}"
    command = [
        "ssh",
        "-v",
        "-F/dev/null",
        "-oBatchMode=yes",
        known,
        *offers,
        "-p",
        str(place.port),
        "root@127.0.0.1",
    ]
    seen = outcome(command, cwd=place.folder, env=place.environment())
    assert "Server accepts key: " + str(place.folder / "lent.pub") in seen.err
    assert "Hello bob, " in seen.out


def test_a_session_before_authentication_is_refused(place: Place) -> None:
    """Password and keyboard logins end before any channel."""

    async def by_password() -> None:
        async with asyncssh.connect(
            "127.0.0.1",
            place.port,
            username="alice",
            password="x",
            known_hosts=None,
            client_keys=None,
            config=None,
        ):
            pytest.fail("a password was taken")

    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(by_password())


def test_many_connections_at_once_are_all_served(place: Place) -> None:
    command = ["ssh", *place._options("alice"), "-p", str(place.port), "git@127.0.0.1"]
    place.ssh()
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) for _ in range(20)]
    outputs = [client.communicate(timeout=60)[0] for client in clients]
    assert all(b"Hello alice" in output for output in outputs)


def test_a_client_sends_no_further_ahead_of_a_slow_reader_than_its_window(place: Place) -> None:
    place.ssh()
    command = ["ssh", *place._options("alice"), "-p", str(place.port), "git@127.0.0.1", "sip"]
    sent = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0) as client:
        assert client.stdin
        with suppress(BrokenPipeError):
            while client.poll() is None and sent < 128 << 20:
                sent += client.stdin.write(bytes(1 << 16))
    assert client.returncode == 0
    assert sent < 24 << 20, "6 MiB were read, and 2 MiB are a window"


def test_the_host_key_is_made_once_and_kept_to_oneself(tmp_path: Path) -> None:
    first = host_key(tmp_path)
    assert host_key(tmp_path).public_data == first.public_data
    assert stat.S_IMODE((tmp_path / "host_key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host_key", "host_key.pub"]


def test_a_broken_host_key_is_an_error_and_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "host_key").write_text("broken")
    with pytest.raises(ConfigError, match="host key"):
        host_key(tmp_path)
    assert (tmp_path / "host_key").read_text() == "broken"


def test_an_address_in_use_is_an_error_that_says_which(place: Place, unstarted: Place) -> None:
    other = replace(place.settings, data_dir=place.folder / "other", ssh_listen=f"127.0.0.1:{place.port}")
    place.stop()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place.settings = replace(other, ssh_listen=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConfigError, match="cannot be listened on"):
            place.start()


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux only")
def test_what_comes_is_acknowledged_at_once_though_there_is_nothing_to_answer(place: Place) -> None:
    """A client that waits for it, as OpenSSH's does, would wait 40 ms at each such place of the handshake."""
    assert min(_seconds_to_acknowledge(place.port) for _ in range(3)) < 0.03


def _seconds_to_acknowledge(port: int) -> float:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"SSH-2.0-test\r\n")
        seen = b""
        while b"kex-strict" not in seen:  # the server has told which algorithms it knows, and is silent now
            seen += client.recv(65536)
        client.sendall(b"\0")  # a part of a packet's length
        began = time.monotonic()
        while _unacknowledged(client):
            assert time.monotonic() - began < 10
            time.sleep(0.001)
        return time.monotonic() - began


def _unacknowledged(client: socket.socket) -> int:
    """tcpi_unacked of tcp(7)."""
    return int(struct.unpack_from("I", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0])
