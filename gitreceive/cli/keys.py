import sys
from pathlib import Path

import click

from gitreceive import config
from gitreceive.access import check_admin, check_person
from gitreceive.cli.common import Group, actor, age, as_json, open_ledger, print_json, print_table
from gitreceive.errors import UsageError
from gitreceive.model import PublicKey, User, UserName

_KEY_LIMIT = 16384


@click.group("keys", cls=Group)
def command() -> None:
    """SSH keys: add, list, remove."""


@command.command("add")
@click.argument("user", required=False)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--admin", is_flag=True, help="Make the user an administrator.")
@as_json
def add(user: str | None, file: Path | None, admin: bool, as_json: bool) -> None:
    """Add the public key on standard input, or in FILE, to USER; over SSH, to yourself.

    With --admin a key that USER has already makes them an administrator too.

    \b
    Examples:
      gitreceive keys add alice --admin < ~/.ssh/id_ed25519.pub
      ssh -p 2222 git@HOST keys add < laptop.pub
    """
    with open_ledger(make=True) as ledger:
        who = actor(ledger)
        check_person(who, "add keys")
        name = _user(user, who)
        if name != who.name:
            check_admin(who, "add keys for others")
        if admin:
            check_admin(who, "make administrators")
        algorithm, blob, comment, fingerprint = parse_public_key(_read(file))
        key = ledger.add_key(name, algorithm, blob, comment, fingerprint, admin=admin)
    if as_json:
        print_json(_facts(key))
    else:
        click.echo(f"-----> {key.user} may use {key.algorithm} {key.fingerprint}", err=True)
        if admin:
            click.echo(f"       {key.user} is an administrator", err=True)


@command.command("list")
@click.argument("user", required=False)
@as_json
def list_(user: str | None, as_json: bool) -> None:
    """The keys of USER; for administrators, of everybody.

    \b
    Example:
      gitreceive keys list alice
    """
    with open_ledger() as ledger:
        who = actor(ledger)
        wanted = UserName.parse(user) if user else None if who.admin else UserName.parse(who.name)
        if wanted is None or wanted != who.name:
            check_admin(who, "see the keys of others")
        keys = ledger.keys(wanted)
    if as_json:
        print_json([_facts(key) for key in keys])
        return
    print_table(
        ("user", "algorithm", "fingerprint", "comment", "added"),
        [(k.user, k.algorithm, k.fingerprint, k.comment or "-", age(k.added_at)) for k in keys],
        "There are no keys yet: gitreceive keys add USER < key.pub",
    )


@command.command("remove")
@click.argument("fingerprint")
@as_json
def remove(fingerprint: str, as_json: bool) -> None:
    """Remove the key with this fingerprint. It opens nothing from now on.

    \b
    Example:
      gitreceive keys remove SHA256:oVvV…
    """
    with open_ledger() as ledger:
        who = actor(ledger)
        check_person(who, "remove keys")
        mine = {key.fingerprint for key in ledger.keys()} if who.admin else _own(who, ledger.keys())
        if fingerprint not in mine:
            raise UsageError(f"no key of yours is {fingerprint[:80]}", hint="see: gitreceive keys list")
        key = ledger.remove_key(fingerprint)
    if as_json:
        print_json(_facts(key))
    else:
        click.echo(f"-----> {key.user} can no longer use {key.fingerprint}", err=True)


def parse_public_key(text: str) -> tuple[str, str, str, str]:
    """One line as in ``id_ed25519.pub``: algorithm, base64 blob, comment, SHA256 fingerprint. Raises UsageError."""
    import asyncssh

    if "PRIVATE KEY" in text:
        raise UsageError(
            "that is a private key", hint="give the file that ends in .pub, and keep the other to yourself"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        seen = f"{len(lines)} lines" if lines else "nothing"
        raise UsageError(
            f"one public key is expected on one line, but {seen} came",
            hint="give the file that ends in .pub: keys add USER < ~/.ssh/id_ed25519.pub",
        )
    if lines[0].startswith("ssh-dss "):
        raise UsageError("DSA keys are not safe", hint="make a new key: ssh-keygen -t ed25519")
    try:
        key = asyncssh.import_public_key(lines[0])
        algorithm, blob, *comment = key.export_public_key("openssh").decode().split(None, 2)
    except (asyncssh.KeyImportError, asyncssh.KeyExportError, ValueError) as error:
        raise UsageError(
            f"that is no SSH public key: {error}", hint="give the file that ends in .pub"
        ) from error
    return algorithm, blob, " ".join(comment).strip()[:100], key.get_fingerprint("sha256")


def _read(file: Path | None) -> str:
    if file is None:
        if sys.stdin.isatty():
            click.echo("       Paste the public key, then press Enter and Ctrl-D", err=True)
        return sys.stdin.buffer.read(_KEY_LIMIT).decode("utf-8", "replace")
    if config.acting_user() is not None:
        raise UsageError(
            f"{file} would be a file of the server", hint="give the key on standard input: < key.pub"
        )
    try:
        with file.open("rb") as key:
            return key.read(_KEY_LIMIT).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="name the file that ends in .pub"
        ) from error


def _user(given: str | None, who: User) -> UserName:
    if given is not None and ("/" in given or given.endswith(".pub")):
        raise UsageError(
            f"{given[:60]!r} is not a user name", hint=f"the user comes first: keys add USER {given[:60]}"
        )
    return UserName.parse(given or who.name)


def _own(who: User, keys: tuple[PublicKey, ...]) -> set[str]:
    return {key.fingerprint for key in keys if key.user == who.name}


def _facts(key: PublicKey) -> dict[str, object]:
    return {
        "user": key.user,
        "algorithm": key.algorithm,
        "fingerprint": key.fingerprint,
        "comment": key.comment,
        "added_at": key.added_at,
    }
