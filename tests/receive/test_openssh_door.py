"""What is particular to the door behind OpenSSH's sshd. What sshd itself does is in tests/e2e/test_doors.py."""

import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from gitreceive.errors import UnavailableError
from gitreceive.receive.relay import Visitor, is_known
from tests.receive.conftest import Outcome, Place, outcome
from tests.receive.pushes import until


@pytest.fixture
def door() -> str:
    return "openssh"


def ask(place: Place, command: str, user: str = "alice", stdin: bytes = b"") -> Outcome:
    """What sshd's forced command does with the client's."""
    words = [str(place._sshd(user)), command]
    return outcome(words, cwd=place.folder, env={"PATH": os.environ["PATH"]}, stdin=stdin)


def key(place: Place, user: str) -> str:
    return " ".join((place.folder / user).with_suffix(".pub").read_text().split()[:2])


def test_a_command_gets_its_words_its_input_and_its_user_and_gives_its_exit_code(place: Place) -> None:
    seen = ask(place, "config set 'A=1 2' '$(id)' ';x'")
    assert (seen.code, seen.err) == (7, "talk\n")
    shown = json.loads(seen.out)
    assert shown["argv"] == ["config", "set", "A=1 2", "$(id)", ";x"]
    environment = shown["environment"]
    assert environment["GITRECEIVE_ACTING_USER"] == "alice"
    assert environment["GITRECEIVE_ACTING_KEY"] == "SHA256:alice"
    assert environment["GITRECEIVE_ACTING_ADDRESS"] == "127.0.0.1"
    assert ask(place, "cat", stdin=b"hello" * 100_000).out == "hello" * 100_000


def test_a_greeting_names_the_account_and_the_address_by_which_one_came(place: Place) -> None:
    seen = ask(place, "")
    assert "Hello alice, this is gitreceive." in seen.out
    assert "git push ssh://git@127.0.0.1/APP BRANCH" in seen.out
    assert "ssh git@127.0.0.1 help" in seen.out


@pytest.mark.parametrize("text", ["git-receive-pack 'shop'; id", "git-upload-pack '../shop'", "a\nb", "'"])
def test_a_hostile_command_is_refused_in_words(place: Place, text: str) -> None:
    seen = ask(place, text)
    assert seen.code == 2
    assert seen.err.startswith("gitreceive: ")


def test_a_key_is_looked_up_at_each_session(place: Place) -> None:
    path = place.settings.session_socket
    assert ask(place, "", user="bob").code == 0
    assert (is_known(path, key(place, "bob")), is_known(path, key(place, "stranger"))) == (True, False)
    place.ledger.remove_key("SHA256:bob")
    seen = ask(place, "", user="bob")
    assert (seen.code, seen.err) == (255, "gitreceive: this key is not known any more\n")
    assert not is_known(path, key(place, "bob"))
    assert not is_known(path, key(place, "alice")[:-1])


def test_a_command_ends_when_sshd_lets_go_of_its_output(place: Place) -> None:
    """As it does when the client has gone. Nothing else tells us."""
    words = [str(place._sshd("alice")), "sleep"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as session:
        assert session.stdout
        pid = int(session.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        session.stdout.close()
        until(lambda: not Path(f"/proc/{pid}").exists(), seconds=20)
        assert session.wait(20) != 0


def test_a_session_says_that_the_server_went_away(place: Place) -> None:
    words = [str(place._sshd("alice")), "sleep"]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as session:
        assert session.stdout
        assert session.stderr
        assert session.stdout.readline()
        place.stop()
        assert session.wait(20) != 0
    assert not place.settings.session_socket.exists()
    assert "the gitreceive server is not running" in ask(place, "apps list").err


def test_the_socket_is_the_servers_own_and_works_at_any_length_of_path(unstarted: Place) -> None:
    deep = unstarted.folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    unstarted.settings = unstarted.settings.__class__(
        data_dir=deep, ssh_listen="127.0.0.1:0", http_listen="127.0.0.1:0"
    )
    unstarted.start()
    path = unstarted.settings.session_socket
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert is_known(path, key(unstarted, "alice"))


def test_a_socket_that_a_killed_server_has_left_is_replaced(unstarted: Place) -> None:
    path = unstarted.settings.session_socket
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(UnavailableError, match="not running"):
        is_known(path, "ssh-ed25519 AAAA")
    unstarted.start()
    assert is_known(path, key(unstarted, "alice"))


@pytest.mark.parametrize("said", [b"", b"k", b"z\0\0\0\0", b"k\xff\xff\xff\xff", b"s\0\0\0\0"])
def test_what_is_no_request_is_dropped_and_harms_nobody(place: Place, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(place.settings.session_socket))
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    assert is_known(place.settings.session_socket, key(place, "alice"))


def test_sshd_describes_a_session_by_its_environment() -> None:
    described = {
        "USER": "git",
        "SSH_CONNECTION": "192.0.2.7 51000 198.51.100.1 22",
        "SSH_ORIGINAL_COMMAND": "apps list",
        "GIT_PROTOCOL": "version=2",
    }
    seen = Visitor.of("ssh-ed25519 AAAA", described)
    assert (seen.account, seen.host, seen.port, seen.client) == ("git", "198.51.100.1", 22, "192.0.2.7")
    assert (seen.command, seen.protocol) == ("apps list", "version=2")
    bare = Visitor.of("ssh-ed25519 AAAA", {})
    assert (bare.account, bare.host, bare.port, bare.client, bare.command) == ("git", "", 22, "", None)
