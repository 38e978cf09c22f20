import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from gitreceive import config as settings
from gitreceive import wiring
from gitreceive.cli.common import (
    Group,
    as_json,
    open_ledger,
    open_platform,
    print_json,
    print_table,
    require_app,
)
from gitreceive.cli.recording import nothing_changed
from gitreceive.cli.rollback import who_may
from gitreceive.cli.watching import watched, write
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.model import (
    LARGEST_CONFIG,
    AppName,
    ConfigChange,
    Job,
    JobState,
    Permission,
    Secret,
    parse_config_name,
    require_config_fits,
)
from gitreceive.rollback import require_image
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform

_app = click.argument("app", metavar="APP")
_MOST_READ = 8 * LARGEST_CONFIG  # bytes of JSON: each of a value may be written as \u00XX, and a few more


@click.group("config", cls=Group)
def command() -> None:
    """The app's environment: list, get, set, unset, import, export.

    Each change is a release: the same image with the new environment. Before the first push it is kept for the first release. Values are
    for those who may configure the app; no log and no list has them.
    """


@command.command("list")
@_app
@as_json
def list_(app: str, as_json: bool) -> None:
    """The names that are set for APP, and how long each value is, for all who may see it. See get and export for values.

    \b
    Example:
      gitreceive config list shop
    """
    name, config = _read(app, Permission.VIEW)
    sizes = {key: len(value.reveal().encode()) for key, value in sorted(config.items())}
    if as_json:
        print_json([{"name": key, "bytes": size} for key, size in sizes.items()])
        return
    print_table(("name", "bytes"), sizes.items(), f"Nothing is set: gitreceive config set {name} NAME=VALUE")


@command.command("get")
@_app
@click.argument("name", metavar="NAME")
@as_json
def get(app: str, name: str, as_json: bool) -> None:
    """The value of NAME and a line's end.

    \b
    Example:
      gitreceive config get shop DATABASE_URL
    """
    app_name, config = _read(app)
    if name not in config:
        raise _not_set(app_name, name)
    if as_json:
        print_json({name: config[name].reveal()})
    else:
        click.echo(config[name].reveal())


@command.command("set")
@_app
@click.argument("words", metavar="NAME=VALUE...", nargs=-1, required=True)
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="NAME alone; its value is standard input, to the byte."
)
@as_json
def set_(app: str, words: tuple[str, ...], from_stdin: bool, as_json: bool) -> None:
    """Set variables of APP, all in one release.

    What is typed can be seen in the list of processes while it is sent, and stays in the shell's history; --stdin keeps a value out of both,
    and takes one of many lines.

    \b
    Examples:
      gitreceive config set shop LOG_LEVEL=debug WORKERS=4
      ssh -p 2222 git@HOST config set shop TLS_KEY --stdin < key.pem
    """
    _change(app, _from_stdin(words) if from_stdin else _typed(words), (), as_json=as_json)


@command.command("unset")
@_app
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@as_json
def unset(app: str, names: tuple[str, ...], as_json: bool) -> None:
    """Remove variables of APP, all in one release.

    \b
    Example:
      gitreceive config unset shop LOG_LEVEL WORKERS
    """
    _change(app, {}, tuple(dict.fromkeys(names)), as_json=as_json)


@command.command("import")
@_app
@as_json
def import_(app: str, as_json: bool) -> None:
    """Set what standard input says, all in one release: one JSON object of texts, as export writes it. Others stay as they are.

    \b
    Example:
      gitreceive config import shop < config.json
    """
    _change(app, _parsed(_standard_input(_MOST_READ)), (), as_json=as_json)


@command.command("export")
@_app
@click.option("--json", is_flag=True, expose_value=False, help="As without: it is JSON anyway.")
def export(app: str) -> None:
    """All names and values of APP, as one JSON object.

    \b
    Example:
      gitreceive config export shop > config.json
    """
    _, config = _read(app)
    print_json({name: value.reveal() for name, value in sorted(config.items())})


def _read(app: str, permission: Permission = Permission.CONFIGURE) -> tuple[AppName, Mapping[str, Secret]]:
    with open_ledger() as ledger:
        found = require_app(ledger, AppName.parse(app), permission)
        return found.name, ledger.config(found.name)


def _change(app: str, values: Mapping[str, Secret], names: tuple[str, ...], *, as_json: bool) -> None:
    """Refuse at once what cannot be done; exit 1 where the release did not go live."""
    for name in values:
        parse_config_name(name)
    with open_platform() as platform:
        app_name = AppName.parse(app)
        change = ConfigChange(app_name, who_may(platform, app_name, Permission.CONFIGURE).name, values, names)
        before = platform.ledger.config(app_name)
        for name in names:
            if name not in before:
                raise _not_set(app_name, name)
        after = change.applied(before)
        require_config_fits(after)
        if after == before:
            nothing_changed()
        job = None if after == before else _carried_out(platform, change, before, after, log=not as_json)
    result = _result(job, changed=after != before)
    if as_json:
        print_json(_facts(change, job, result))
    elif job is None:
        Voice(write).step(_WITHOUT_A_JOB[result].format(app=app_name, title=change.title))
    if result not in {JobState.LIVE, *_WITHOUT_A_JOB}:
        sys.exit(1)


_WITHOUT_A_JOB = {
    "kept": "Kept for the first release of {app}: {title}",
    "unchanged": "Nothing to do: the config of {app} is that already",
}


def _carried_out(
    platform: "Platform",
    change: ConfigChange,
    before: Mapping[str, Secret],
    after: Mapping[str, Secret],
    *,
    log: bool,
) -> Job | None:
    """None where it waits for the first release."""
    live = platform.ledger.current_release(change.app)
    if live is None:
        platform.ledger.keep_config(change.app, before, after)
        return None
    require_image(live, platform.registry)
    wiring.require_server(settings.load())
    return watched(platform.ledger.enqueue(change), platform, log=log)


def _result(job: Job | None, *, changed: bool) -> str:
    if job is None:
        return "kept" if changed else "unchanged"
    return str(job.state)


def _typed(words: tuple[str, ...]) -> dict[str, Secret]:
    """Raises UsageError, which says nothing of a word that may be a value."""
    values: dict[str, Secret] = {}
    for number, word in enumerate(words, 1):
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(
                f"word {number} behind the app has no '='",
                hint="write NAME=VALUE, or NAME --stdin for one value",
            )
        if name in values:
            raise UsageError(f"{name[:60]} is set twice", hint="give one value")
        values[name] = Secret(value)
    return values


def _from_stdin(words: tuple[str, ...]) -> dict[str, Secret]:
    if len(words) != 1 or "=" in words[0]:
        raise UsageError(
            "--stdin takes the name of one variable", hint="write: config set APP NAME --stdin < FILE"
        )
    parse_config_name(words[0])
    try:
        return {words[0]: Secret(_standard_input(LARGEST_CONFIG).decode())}
    except UnicodeDecodeError:
        raise UsageError(f"{words[0]} is not UTF-8", hint="encode it, as base64, say") from None


def _standard_input(most: int) -> bytes:
    content = sys.stdin.buffer.read(most + 1)
    if len(content) > most:
        raise UsageError(f"standard input has more than {most} bytes", hint="a config is smaller than that")
    return content


def _parsed(content: bytes) -> dict[str, Secret]:
    """Raises UsageError, which names variables and no values."""
    try:
        pairs = json.loads(content.decode(), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):  # not UTF-8, not JSON
        raise UsageError("standard input is not JSON", hint=_FORMAT) from None
    if not isinstance(pairs, _Pairs):
        raise UsageError("standard input is not a JSON object", hint=_FORMAT)
    values: dict[str, Secret] = {}
    for name, value in pairs:
        if not isinstance(value, str):
            raise UsageError(f"the value of {name[:60]!r} is not a text", hint='write it in quotes: "1"')
        if name in values:
            raise UsageError(f"{name[:60]!r} is there twice", hint="give one value")
        values[name] = Secret(value)
    return values


_FORMAT = 'write {"NAME": "VALUE", …}, as config export does'


class _Pairs(list[tuple[str, object]]):
    """An object of JSON with all its members, also where two have one name."""


def _not_set(app: AppName, name: str) -> NotFoundError:
    return NotFoundError(f"{name[:60]!r} is not set for {app}", hint=f"gitreceive config list {app}")


def _facts(change: ConfigChange, job: Job | None, result: str) -> dict[str, object]:
    return {
        "app": change.app,
        "result": result,
        "set": sorted(change.values),
        "unset": sorted(change.unset),
        "release": job.release if job else None,
        "build": job.id if job else None,
        "reason": job.reason if job else "",
    }
