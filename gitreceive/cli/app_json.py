import sys
from pathlib import Path

import click

from gitreceive import config
from gitreceive.appjson.description import AppJson
from gitreceive.appjson.reading import LARGEST, parse_app_json
from gitreceive.appjson.told import facts, told
from gitreceive.appjson.values import FILE
from gitreceive.cli.common import Group, as_json, print_json
from gitreceive.cli.watching import write
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.voice import Voice


@click.group("app-json", cls=Group)
def command() -> None:
    """The file app.json: validate."""


@command.command("validate")
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--environment", metavar="NAME", help="As it is in that one of its environments: review, say.")
@as_json
def validate(file: str | None, environment: str | None, as_json: bool) -> None:
    """Whether FILE is understood, and what of it a push would take. It is app.json here unless another is named; - is standard input.

    What is wrong is named with line, column and key; exit 10 then. Values are not printed.

    \b
    Examples:
      gitreceive app-json validate
      gitreceive app-json validate --environment review
      ssh -p 2222 git@HOST app-json validate - < app.json
    """
    asked = _within(parse_app_json(_content(file)), environment)
    if as_json:
        print_json(facts(asked))
        return
    log = Voice(write)
    for notice in asked.notices:
        log.warn(notice)
    for line in told(asked):
        click.echo(line)
    log.step(f"{FILE} is understood")


def _within(asked: AppJson, environment: str | None) -> AppJson:
    """Raises NotFoundError for an environment that the file does not have."""
    if environment is None:
        return asked
    if environment not in asked.environments:
        there = ", ".join(sorted(asked.environments)) or "none"
        raise NotFoundError(f"{FILE} has no environment {environment[:60]!r}", hint=f"it has: {there}")
    return asked.within(environment)


def _content(file: str | None) -> bytes:
    """Over SSH there is no file of the client's here, and none of the server's is read. Raises UsageError, NotFoundError."""
    over_ssh = config.acting_user() is not None
    if over_ssh and file not in {None, "-"}:
        raise UsageError(
            "over SSH it is read from standard input", hint="ssh … app-json validate - < app.json"
        )
    if over_ssh or file == "-":
        return sys.stdin.buffer.read(LARGEST + 1)
    path = Path(file or FILE)
    try:
        with path.open("rb") as opened:
            return opened.read(LARGEST + 1)
    except OSError as error:
        raise NotFoundError(
            f"{path} cannot be read: {error.strerror}", hint="name the file: app-json validate FILE"
        ) from error
