import pytest

from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import UserName
from tests.cli.conftest import Cli
from tests.cli.people import ED25519, has_key, new_key

_PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----\n"


def test_a_key_is_added_listed_and_removed_by_its_fingerprint(cli: Cli, ledger: SqlLedger) -> None:
    added = cli("keys", "add", "alice", "--admin", "--json", stdin=ED25519 + "\n").ok().json()
    assert added["user"] == "alice"
    assert added["comment"] == "alice@laptop"
    assert added["fingerprint"].startswith("SHA256:")
    assert cli("keys", "list", "--json").ok().json() == [added]
    assert cli("keys", "remove", added["fingerprint"], "--json").ok().json() == added
    assert ledger.keys() == ()


def test_a_key_is_taken_from_a_file_on_the_servers_own_host_alone(cli: Cli, ledger: SqlLedger) -> None:
    cli.folder.parent.joinpath("a.pub").write_text(ED25519)
    has_key(ledger, "root", admin=True)
    cli("keys", "add", "alice", "../a.pub", acting="root").failed(2, "file of the server", "standard input")
    cli("keys", "add", "alice", "../a.pub").ok()
    cli("keys", "add", "alice", "../b.pub").failed(2, "cannot be read")
    cli("keys", "add", "../a.pub").failed(2, "is not a user name", "keys add USER ../a.pub")


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        ("", "nothing came"),
        (_PRIVATE, "that is a private key"),
        (f"{ED25519}\n{ED25519}\n", "2 lines came"),
        ("hello\n", "is no SSH public key"),
        ("ssh-ed25519 AAAA\n", "is no SSH public key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACBAP someone\n", "DSA keys are not safe"),
        ("\x00\xff" * 40, "is no SSH public key"),
        ("x" * 100_000, "is no SSH public key"),
    ],
)
def test_what_is_no_public_key_is_refused_and_adds_nothing(
    stdin: str, said: str, cli: Cli, ledger: SqlLedger
) -> None:
    answer = cli("keys", "add", "alice", stdin=stdin).failed(2, said)
    assert "b3BlbnNz" not in answer.err
    assert ledger.keys() == ()


def test_options_before_a_key_are_refused(cli: Cli, ledger: SqlLedger) -> None:
    cli("keys", "add", "alice", stdin=f'command="id",no-pty {ED25519}').failed(2, "is no SSH public key")
    assert ledger.keys() == ()


def test_a_key_opens_one_users_door_only(cli: Cli, ledger: SqlLedger) -> None:
    cli("keys", "add", "alice", stdin=ED25519).ok()
    cli("keys", "add", "bob", stdin=ED25519).failed(4)


def test_a_user_whose_key_is_known_is_made_an_administrator(cli: Cli, ledger: SqlLedger) -> None:
    plain = cli("keys", "add", "alice", stdin=ED25519).ok()
    assert "administrator" not in plain.err
    cli("keys", "add", "alice", stdin=ED25519).failed(4, "alice has the key SHA256:", "nothing to do")
    cli("keys", "add", "--admin", stdin=ED25519, acting="alice").failed(5, "make administrators")
    said = cli("keys", "add", "alice", "--admin", stdin=ED25519).ok()
    assert "-----> alice may use ssh-ed25519 SHA256:" in said.err
    assert "alice is an administrator" in said.err
    assert ledger.user(UserName.parse("alice")).admin
    cli("keys", "add", "bob", "--admin", stdin=ED25519).failed(4, "alice has the key", "keys remove SHA256:")


def test_over_ssh_ones_own_keys_are_ones_own_business(cli: Cli, ledger: SqlLedger) -> None:
    mine = has_key(ledger, "alice")
    theirs = has_key(ledger, "bob")
    cli("keys", "add", stdin=new_key("phone"), acting="alice").ok()
    assert {key["user"] for key in cli("keys", "list", "--json", acting="alice").ok().json()} == {"alice"}
    cli("keys", "remove", mine, acting="alice").ok()

    cli("keys", "add", "bob", stdin=new_key(), acting="alice").failed(
        5, "only an administrator may add keys for others"
    )
    cli("keys", "add", "--admin", stdin=new_key(), acting="alice").failed(
        5, "only an administrator may make administrators"
    )
    cli("keys", "list", "bob", acting="alice").failed(5, "only an administrator may see the keys of others")
    cli("keys", "remove", theirs, acting="alice").failed(2, "no key of yours")
    assert len(ledger.keys()) == 2


def test_an_administrator_removes_anybodys_key_over_ssh(cli: Cli, ledger: SqlLedger) -> None:
    theirs = has_key(ledger, "bob")
    has_key(ledger, "root", admin=True)
    cli("keys", "remove", theirs, acting="root").ok()
    assert [key.user for key in ledger.keys()] == ["root"]
