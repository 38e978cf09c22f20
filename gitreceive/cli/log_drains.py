import sys
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import click

from gitreceive import config, wiring
from gitreceive.cli import remote
from gitreceive.cli.common import (
    Group,
    actor,
    age,
    app_option,
    as_json,
    open_ledger,
    own_app,
    print_json,
    print_table,
    require_app,
)
from gitreceive.drains import DrainStatus, Receiver, read_status
from gitreceive.drains.receiving import word_of_ours
from gitreceive.errors import NotFoundError, UnavailableError, UsageError
from gitreceive.model import App, AppName, Drain, DrainAddress, Permission, Secret, User, parse_header

if TYPE_CHECKING:
    from gitreceive.ports import Ledger

_MOST_READ = 64 << 10  # bytes of headers


@click.group("log-drains", cls=Group)
def command() -> None:
    """Where the app's logs are sent: add, list, remove, test.

    A drain gets every line of the app's processes, one-off commands, cron, release commands and builds, in JSON over HTTPS or as syslog.
    """


@command.command("add")
@click.argument("words", metavar="[APP] URL", nargs=-1, required=True)
@app_option
@click.option("--token", is_flag=True, help="Standard input is a token, sent as Authorization: Bearer.")
@click.option("--headers", is_flag=True, help="Standard input is headers, a line NAME: VALUE each.")
@as_json
def add(words: tuple[str, ...], app: str | None, token: bool, headers: bool, as_json: bool) -> None:
    """Send the logs of APP to URL from now on: syslog+tls://HOST:PORT, syslog+tcp://HOST:PORT or https://HOST/PATH.

    Lines wait on the server's disk until the receiver has them, through its outages and the server's own; a line may come twice. What of the URL
    may be a secret, and what comes by --token and --headers, is not shown again.

    \b
    Examples:
      gitreceive log-drains add shop syslog+tls://logs.example.com:6514
      ssh -p 2222 git@HOST log-drains add shop https://logs.example.com/in --token < token.txt
    """
    name, rest = _named(words, app, 1)
    address = DrainAddress.parse(rest[0])
    secrets = _secrets(address, token=token, headers=headers)
    with open_ledger() as ledger:
        who, found = _changer(ledger, name)
        _require_reachable(Drain(0, found.name, who.name, Secret(rest[0]), found.created_at, secrets))
        drain = ledger.add_drain(found.name, who.name, Secret(rest[0]), secrets)
    if as_json:
        print_json(_facts(drain, DrainStatus()))
        return
    click.echo(f"-----> Log drain {drain.id} of {found.name}: {address.shown}")
    click.echo(f"       to try it: gitreceive log-drains test {found.name} {drain.id}")


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def list_(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """The app's drains: how far behind each is, what was lost, and the last error.

    \b
    Example:
      gitreceive log-drains list shop
    """
    name, _ = _named(words, app, 0)
    with open_ledger() as ledger:
        drains = ledger.drains(own_app(ledger, name).name)
    found = [(drain, read_status(config.load().data_dir, drain.id)) for drain in drains]
    if as_json:
        print_json([_facts(drain, status) for drain, status in found])
        return
    print_table(
        ("id", "to", "state", "delivered", "waiting", "dropped", "last error"),
        [
            (drain.id, drain.address.shown, s.state, s.delivered, s.waiting, s.dropped, _last_error(s))
            for drain, s in found
        ],
        f"The logs of {name} are sent nowhere: gitreceive log-drains add {name} URL",
    )


@command.command("remove")
@click.argument("words", metavar="[APP] ID|URL", nargs=-1, required=True)
@app_option
@as_json
def remove(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Send no more to a drain. What waits for it goes too.

    \b
    Example:
      gitreceive log-drains remove shop 3
    """
    name, rest = _named(words, app, 1)
    with open_ledger() as ledger:
        _, found = _changer(ledger, name)
        drain = ledger.remove_drain(found.name, _meant(ledger, found, rest[0]).id)
    if as_json:
        print_json(_facts(drain, DrainStatus("removed")))
        return
    click.echo(f"-----> Log drain {drain.id} of {found.name} is removed: {drain.address.shown}")


@command.command("test")
@click.argument("words", metavar="[APP] ID|URL", nargs=-1, required=True)
@app_option
@as_json
def test(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Send one line to a drain, now, and say what became of it. Exit 7 if it did not arrive.

    \b
    Example:
      gitreceive log-drains test shop 3
    """
    name, rest = _named(words, app, 1)
    with open_ledger() as ledger:
        who, found = _changer(ledger, name)
        drain = _meant(ledger, found, rest[0])
    since = time.monotonic()
    with closing(wiring.drain_receiver(config.load(), drain)) as receiver:
        _deliver(receiver, drain.app, who)
    seconds = round(time.monotonic() - since, 3)
    if as_json:
        print_json({"id": drain.id, "to": drain.address.shown, "delivered": True, "seconds": seconds})
    else:
        click.echo(f"-----> {drain.address.shown} took one line in {seconds:.1f} s")


def _deliver(receiver: Receiver, app: AppName, who: User) -> None:
    """Raises what the receiver raises; UnavailableError where it does not take it in time."""
    receiver.send([word_of_ours(app, f"This line was sent by {who.name} to try the log drain")])
    end = time.monotonic() + receiver.settle_seconds
    while time.monotonic() < end:
        time.sleep(0.1)
        receiver.check()
    if not receiver.check():
        raise UnavailableError("the receiver does not acknowledge what it is sent", hint="see that it reads")


def _named(words: tuple[str, ...], app: str | None, wanted: int) -> tuple[AppName, tuple[str, ...]]:
    """The app, which may be the first word, and the words behind it. Raises UsageError, NotFoundError."""
    if len(words) == wanted + 1 and app is None:
        return AppName.parse(words[0]), words[1:]
    if len(words) != wanted:
        raise UsageError("the words are too many, or too few", hint="see: gitreceive log-drains --help")
    return remote.app_name(app), words


def _changer(ledger: "Ledger", name: AppName) -> tuple[User, App]:
    app = require_app(ledger, name, Permission.OPERATE)
    return actor(ledger), app


def _meant(ledger: "Ledger", app: App, text: str) -> Drain:
    """By its number or its URL. Raises NotFoundError."""
    for drain in ledger.drains(app.name):
        if text in {str(drain.id), drain.url.reveal(), drain.address.shown}:
            return drain
    raise NotFoundError(
        f"{app.name} has no such log drain", hint=f"see: gitreceive log-drains list {app.name}"
    )


def _secrets(address: DrainAddress, *, token: bool, headers: bool) -> Mapping[str, Secret]:
    """From standard input, so that they are in no list of processes. Raises UsageError."""
    if not token and not headers:
        return {}
    if token and headers:
        raise UsageError("one of --token and --headers is read", hint="write Authorization among the headers")
    if address.scheme != "https":
        raise UsageError("a syslog drain has no headers", hint="leave out --token and --headers")
    content = sys.stdin.buffer.read(_MOST_READ + 1)
    if len(content) > _MOST_READ:
        raise UsageError(f"standard input has more than {_MOST_READ} bytes")
    text = content.decode("utf-8", "replace").strip()
    lines = [f"Authorization: Bearer {text}"] if token else [line for line in text.splitlines() if line]
    if not text or not lines:
        raise UsageError("standard input is empty", hint="write the secret there: … < FILE")
    return dict(parse_header(line) for line in lines)


def _require_reachable(drain: Drain) -> None:
    """Raises ForbiddenError for what drains may not reach. That it does not answer yet is said, and no reason to refuse it."""
    with closing(wiring.drain_receiver(config.load(), drain)) as receiver:
        try:
            receiver.probe()
        except UnavailableError as error:
            click.echo(f" !     {error.message}; it is tried again and again", err=True)


def _facts(drain: Drain, status: DrainStatus) -> dict[str, object]:
    return {
        "id": drain.id,
        "app": drain.app,
        "to": drain.address.shown,
        "by": drain.user,
        "added_at": drain.created_at,
        "headers": sorted(drain.headers),
        "state": status.state,
        "delivered": status.delivered,
        "delivered_at": status.delivered_at or None,
        "waiting": status.waiting,
        "dropped": status.dropped,
        "error": status.error,
        "error_at": status.error_at or None,
    }


def _last_error(status: DrainStatus) -> str:

    if not status.error:
        return ""
    return (
        f"{age(datetime.fromisoformat(status.error_at))} ago: {status.error}"
        if status.error_at
        else status.error
    )
