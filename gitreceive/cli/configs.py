import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from gitreceive import config as settings
from gitreceive import data_folder
from gitreceive.cli import config_formats, config_words, remote
from gitreceive.cli.common import (
    Group,
    app_option,
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
from gitreceive.stories.rollback import require_image
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform

_MOST_READ = 8 * LARGEST_CONFIG  # bytes of JSON: each of a value may be written as \u00XX, and a few more


@click.group("config", cls=Group)
def command() -> None:
    """The app's environment: list, get, set, unset, import, export.

    Each change is a release: the same image with the new environment. Before the first push it is kept for the first release. Values are
    for those who may configure the app; no log and no list has them.
    """


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def list_(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """The names that are set for the app, and how long each value is, for all who may see it. See get and export for values.

    \b
    Example:
      gitreceive config list shop
    """
    name, config = _read(_alone("list", words, app), Permission.VIEW)
    sizes = {key: len(value.reveal().encode()) for key, value in sorted(config.items())}
    if as_json:
        print_json([{"name": key, "bytes": size} for key, size in sizes.items()])
        return
    print_table(("name", "bytes"), sizes.items(), f"Nothing is set: gitreceive config set {name} NAME=VALUE")


@command.command("get")
@click.argument("words", metavar="[APP] NAME", nargs=-1, required=True)
@app_option
@as_json
def get(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """The value of NAME and a line's end.

    \b
    Example:
      gitreceive config get shop DATABASE_URL
    """
    of, rest = _named("get", words, app)
    if len(rest) != 1:
        raise UsageError("one variable can be asked for at a time", hint="all of them: config export")
    name, (app_name, config) = rest[0], _read(of)
    if name not in config:
        raise _not_set(app_name, name)
    if as_json:
        print_json({name: config[name].reveal()})
    else:
        click.echo(config[name].reveal())


@command.command("set")
@click.argument("words", metavar="[APP] NAME=VALUE...", nargs=-1, required=True)
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="NAME alone; its value is standard input, to the byte."
)
@app_option
@as_json
def set_(words: tuple[str, ...], from_stdin: bool, app: str | None, as_json: bool) -> None:
    """Set variables of the app, all in one release.

    What is typed can be seen in the list of processes while it is sent, and stays in the shell's history; --stdin keeps a value out of both,
    and takes one of many lines.

    \b
    Examples:
      gitreceive config set LOG_LEVEL=debug WORKERS=4
      ssh -p 2222 git@HOST config set shop TLS_KEY --stdin < key.pem
    """
    name, rest = _named("set", words, app, stdin=from_stdin)
    _change(name, one_from_stdin(rest) if from_stdin else typed(rest), (), as_json=as_json)


@command.command("unset")
@click.argument("words", metavar="[APP] NAME...", nargs=-1, required=True)
@app_option
@as_json
def unset(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Remove variables of the app, all in one release.

    Of several words the first is the app where it could be the name of one: in lower case, say. With --app, all are variables.

    \b
    Example:
      gitreceive config unset shop LOG_LEVEL WORKERS
    """
    name, names = _named("unset", words, app)
    _change(name, {}, tuple(dict.fromkeys(names)), as_json=as_json)


@command.command("import")
@click.argument("words", metavar="[APP]", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(config_formats.READ),
    help="What it is.  [default: JSON where it begins with a brace]",
)
@app_option
@as_json
def import_(words: tuple[str, ...], form: str | None, app: str | None, as_json: bool) -> None:
    """Set what standard input says, all in one release: one JSON object of texts, or a dotenv file. Others stay as they are.

    In a dotenv file, quoted values may have many lines, and $ means nothing.

    \b
    Examples:
      gitreceive config import shop < config.json
      gitreceive config import < .env
    """
    name = _alone("import", words, app)
    _change(name, config_formats.parse(_standard_input(_MOST_READ), form), (), as_json=as_json)


@command.command("export")
@click.argument("words", metavar="[APP]", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(config_formats.WRITTEN),
    default=config_formats.WRITTEN[0],
    show_default=True,
    help="shell: lines that a POSIX shell can read in.",
)
@app_option
@as_json
def export(words: tuple[str, ...], form: str, app: str | None, as_json: bool) -> None:
    """All names and values of the app. What is written as JSON or dotenv, import reads, to the byte.

    \b
    Examples:
      gitreceive config export shop > config.json
      gitreceive config export --format dotenv > .env
    """
    _, config = _read(_alone("export", words, app))
    click.echo(config_formats.write(config, "json" if as_json else form), nl=False)


def _named(
    verb: str, words: tuple[str, ...], app: str | None, *, stdin: bool = False
) -> tuple[AppName, tuple[str, ...]]:
    """The app, and the words that do not name it. Raises UsageError, NotFoundError."""
    if app is not None:
        return AppName.parse(app), words
    first, rest = config_words.split(verb, words, stdin=stdin)
    return remote.app_name(first), rest


def _alone(verb: str, words: tuple[str, ...], app: str | None) -> AppName:
    """The app, where nothing else can be named."""
    name, rest = _named(verb, words, app)
    if rest:
        raise UsageError(
            f"{rest[0][:60]!r} is too much: the app is named already",
            hint=f"see: gitreceive config {verb} --help",
        )
    return name


def _read(
    app: AppName, permission: Permission = Permission.CONFIGURE
) -> tuple[AppName, Mapping[str, Secret]]:
    with open_ledger() as ledger:
        found = require_app(ledger, app, permission)
        return found.name, ledger.config(found.name)


def _change(app: AppName, values: Mapping[str, Secret], names: tuple[str, ...], *, as_json: bool) -> None:
    """Refuse at once what cannot be done; exit 1 where the release did not go live."""
    for name in values:
        parse_config_name(name)
    with open_platform() as platform:
        change = ConfigChange(app, who_may(platform, app, Permission.CONFIGURE).name, values, names)
        before = platform.ledger.config(app)
        for name in names:
            if name not in before:
                raise _not_set(app, name)
        job, result = carry_out(platform, change, log=not as_json)
    if as_json:
        print_json(_facts(change, job, result))
    elif job is None:
        Voice(write).step(_WITHOUT_A_JOB[result].format(app=app, title=change.title))
    if result not in {JobState.LIVE, *_WITHOUT_A_JOB}:
        sys.exit(1)


_WITHOUT_A_JOB = {
    "kept": "Kept for the first release of {app}: {title}",
    "unchanged": "Nothing to do: the config of {app} is that already",
}


def carry_out(platform: "Platform", change: ConfigChange, *, log: bool) -> tuple[Job | None, str]:
    """The job, and its state in the end; without one, ``kept`` for the first release or ``unchanged``. Raises UsageError for what does not fit."""
    before = platform.ledger.config(change.app)
    after = change.applied(before)
    require_config_fits(after)
    if after == before:
        nothing_changed()
        return None, "unchanged"
    live = platform.ledger.current_release(change.app)
    if live is None:
        platform.ledger.keep_config(change.app, before, after)
        return None, "kept"
    require_image(live, platform.registry)
    data_folder.require_server(settings.load())
    job = watched(platform.ledger.enqueue(change), platform, log=log)
    return job, str(job.state)


def typed(words: tuple[str, ...]) -> dict[str, Secret]:
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


def one_from_stdin(words: tuple[str, ...]) -> dict[str, Secret]:
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
