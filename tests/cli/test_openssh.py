"""What sshd is told: which key may come in, and that it may have a session of gitreceive's and nothing else."""

import getpass
import shlex

from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import UserName
from tests.cli.conftest import Cli
from tests.cli.people import ED25519

ALGORITHM, BLOB = ED25519.split()[:2]
OTHER = "A" * len(BLOB)


def test_a_known_key_gets_one_line_with_the_session_as_its_only_command(cli: Cli) -> None:
    cli("keys", "add", "alice", stdin=ED25519).ok()
    line = cli("openssh", "authorized-keys", getpass.getuser(), ALGORITHM, BLOB).ok().out
    options, _, key = line.removeprefix('command="').partition('",restrict ')
    assert key == f"{ALGORITHM} {BLOB}\n"
    words = shlex.split(options.replace('\\"', '"'))
    assert words[0] == "/usr/bin/env"
    assert any(word.startswith("GITRECEIVE_DATA_DIR=/") for word in words)
    assert words[-4:] == ["openssh", "session", ALGORITHM, BLOB]


def test_an_unknown_key_a_suspended_user_and_another_account_get_nothing(cli: Cli, ledger: SqlLedger) -> None:
    cli("keys", "add", "alice", stdin=ED25519).ok()
    ours = getpass.getuser()
    assert cli("openssh", "authorized-keys", ours, ALGORITHM, OTHER).ok().out == ""
    assert cli("openssh", "authorized-keys", "nobody", ALGORITHM, BLOB).ok().out == ""
    assert cli("openssh", "authorized-keys", "no-such-account", ALGORITHM, BLOB).ok().out == ""
    ledger.change_user(UserName("alice"), suspended=True)
    assert cli("openssh", "authorized-keys", ours, ALGORITHM, BLOB).ok().out == ""


def test_a_session_says_that_no_server_runs(cli: Cli) -> None:
    cli("openssh", "session", ALGORITHM, BLOB).failed(7, "the gitreceive server is not running")


def test_the_settings_let_in_the_servers_own_account_alone(cli: Cli) -> None:
    said = cli("openssh", "settings").ok().out
    assert said.startswith(f"Match User {getpass.getuser()}\n    AuthorizedKeysCommand /usr/bin/env ")
    assert "openssh authorized-keys %u %t %k\n" in said
    assert "    AuthorizedKeysFile none\n" in said


def test_nobody_asks_for_it_over_ssh(cli: Cli) -> None:
    cli("keys", "add", "alice", "--admin", stdin=ED25519).ok()
    cli("openssh", "settings", acting="alice").failed(5, "does not run over SSH")
