import os
import pwd
import shlex
import sys

import click

from gitreceive import config
from gitreceive.cli.common import Group, open_ledger
from gitreceive.errors import UnavailableError


@click.group("openssh", cls=Group)
def command() -> None:
    """For OpenSSH's sshd in front of the server: authorized-keys, session, settings (docs/openssh.md)."""


@command.command("authorized-keys")
@click.argument("account")
@click.argument("algorithm")
@click.argument("key")
def authorized_keys(account: str, algorithm: str, key: str) -> None:
    """Tell sshd whether KEY may come in: its AuthorizedKeysCommand, with %u %t %k.

    Prints a line of authorized_keys that allows 'openssh session' and nothing else, or nothing. Only for the
    account that the server runs as: a key of gitreceive opens no other.

    \b
    Example, in sshd_config:
      AuthorizedKeysCommand /usr/local/bin/gitreceive openssh authorized-keys %u %t %k
    """
    settings = config.load()
    if _is_server_account(account, settings) and _is_known(algorithm, key, settings):
        forced = _forced(settings, algorithm, key).replace('"', '\\"')
        click.echo(f'command="{forced}",restrict {algorithm} {key}')


@command.command("session")
@click.argument("algorithm")
@click.argument("key")
def session(algorithm: str, key: str) -> None:
    """Serve what the client asked sshd for: the forced command of a key.

    It hands the session to the server and stands between. Git and all commands work as over the embedded door.

    \b
    Example, in authorized_keys:
      command="gitreceive openssh session ssh-ed25519 AAAA…",restrict ssh-ed25519 AAAA…
    """
    from gitreceive.receive.relay import Visitor, relay

    visitor = Visitor.of(f"{algorithm} {key}", config.process_environment())
    code = relay(config.load().session_socket, visitor)
    sys.stdout.flush()
    os._exit(code)  # a thread may still wait for input that nobody needs


@command.command("settings")
def settings() -> None:
    """Print the part of sshd_config that lets gitreceive's users in.

    \b
    Example:
      gitreceive openssh settings > /etc/ssh/sshd_config.d/gitreceive.conf
    """
    ours = config.load()
    account = pwd.getpwuid(ours.data_dir.stat().st_uid if ours.data_dir.exists() else os.getuid()).pw_name
    program = shlex.join(_program(ours))
    click.echo(
        f"Match User {account}\n"
        f"    AuthorizedKeysCommand {program} openssh authorized-keys %u %t %k\n"
        f"    AuthorizedKeysCommandUser {account}\n"
        "    AuthorizedKeysFile none\n"
        "    AuthenticationMethods publickey\n"
        "    AcceptEnv GIT_PROTOCOL\n"
        "    DisableForwarding yes\n"
        "    PermitTTY no\n"
        "    PermitUserRC no"
    )


def _is_known(algorithm: str, key: str, settings: config.Settings) -> bool:
    """The server is asked, which is quick; where none runs the ledger is, so that the session can say that it does not."""
    from gitreceive.receive.relay import is_known

    try:
        return is_known(settings.session_socket, f"{algorithm} {key}")
    except UnavailableError:
        with open_ledger() as ledger:
            return ledger.user_of_key(algorithm, key) is not None


def _is_server_account(account: str, settings: config.Settings) -> bool:
    try:
        return pwd.getpwnam(account).pw_uid == settings.data_dir.stat().st_uid
    except (KeyError, OSError):
        return False


def _forced(settings: config.Settings, algorithm: str, key: str) -> str:
    return shlex.join([*_program(settings), "openssh", "session", algorithm, key])


def _program(settings: config.Settings) -> list[str]:
    """How to run gitreceive out of the bare environment that sshd gives."""
    here = config.process_environment()
    variables = {"GITRECEIVE_DATA_DIR": str(settings.data_dir.absolute())}
    variables |= {name: here[name] for name in ("GITRECEIVE_CONFIG", "PYTHONPATH") if name in here}
    words = [f"{name}={value}" for name, value in variables.items()]
    return ["/usr/bin/env", *words, sys.executable, "-m", "gitreceive"]
