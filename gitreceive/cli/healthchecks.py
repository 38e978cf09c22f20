import shlex
from collections.abc import Mapping
from typing import Any

import click

from gitreceive.cli import remote
from gitreceive.cli.addressing import addressed
from gitreceive.cli.common import (
    Group,
    app_option,
    as_json,
    open_ledger,
    open_platform,
    own_app,
    print_json,
    print_table,
)
from gitreceive.cli.settings_changes import Wish, change_settings, known_process
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.model import AppSettings, CheckKind, Declared, HealthCheck, Release, describe

_KINDS = click.Choice([kind.value for kind in CheckKind])
_seconds = click.IntRange(1, 3600)


@click.group("healthchecks", cls=Group)
def command() -> None:
    """Whether processes are well: list, set, unset. What is set here comes before what app.json declares.

    startup is asked first, until it passes once; then readiness, without which no request is led to a process, and liveness, without which
    it is started anew.
    """


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def list_(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """What each process type is asked, and who said so.

    \b
    Example:
      gitreceive healthchecks list shop
    """
    name, _ = addressed(words, app, 0)
    with open_ledger() as ledger:
        found = own_app(ledger, name)
        live = ledger.current_release(found.name)
        rows = _rows(ledger.settings(found.name), live.declared if live else Declared())
    if as_json:
        print_json(rows)
        return
    columns = ("process", "kind", "asks", "attempts", "timeout", "interval", "grace", "by")
    print_table(columns, [tuple(row.values()) for row in rows], "Nothing is asked but whether web listens")


@command.command("set")
@click.argument("words", metavar="[APP] TYPE", nargs=-1, required=True)
@app_option
@click.option("--kind", type=_KINDS, default="readiness", show_default=True, help="When it is asked.")
@click.option("--path", metavar="PATH", help="GET it: 200 to 399 passes.")
@click.option("--scheme", type=click.Choice(["http", "https"]), default="http", help="How --path is asked.")
@click.option("--command", "line", metavar="COMMAND", help="Run it in the container: exit 0 passes.")
@click.option("--listening", is_flag=True, help="A TCP connection passes.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="Other than $PORT.")
@click.option(
    "--attempts", type=click.IntRange(1, 1000), default=3, show_default=True, help="Misses in a row."
)
@click.option("--timeout", type=_seconds, default=5, show_default=True, help="Seconds for each answer.")
@click.option("--interval", type=_seconds, default=5, show_default=True, help="Seconds between two.")
@click.option(
    "--grace",
    type=click.IntRange(0, 3600),
    default=0,
    show_default=True,
    help="Seconds before the first.",
)
@as_json
def set_(words: tuple[str, ...], app: str | None, as_json: bool, **asked: Any) -> None:
    """Ask the processes of TYPE. That is a release, which is put back where they do not pass.

    \b
    Examples:
      gitreceive healthchecks set web --path /healthz
      gitreceive healthchecks set shop worker --kind startup --command "python check.py" --attempts 30
    """
    name, (process,) = addressed(words, app, 1)
    kind = str(asked["kind"])
    check = _document(asked)

    def plan(_settings: AppSettings, live: Release | None) -> Wish:
        known_process(live, process)
        return Wish(f"{kind} check of {process}", {"runtime": {"health": {process: {kind: check}}}})

    with open_platform() as platform:
        change_settings(platform, name, plan, as_json=as_json)


@command.command("unset")
@click.argument("words", metavar="[APP] TYPE", nargs=-1, required=True)
@app_option
@click.option("--kind", type=_KINDS, help="This one alone.  [default: all]")
@as_json
def unset(words: tuple[str, ...], app: str | None, kind: str | None, as_json: bool) -> None:
    """Ask the processes of TYPE no more than app.json does.

    \b
    Example:
      gitreceive healthchecks unset shop web
    """
    name, (process,) = addressed(words, app, 1)

    def plan(settings: AppSettings, _live: Release | None) -> Wish:
        there = [check.kind.value for check in settings.runtime.health.get(process, ())]
        if not there or (kind is not None and kind not in there):
            raise NotFoundError(
                f"no {kind or 'health'} check is set for {process}",
                hint=f"gitreceive healthchecks list {name}",
            )
        patch = None if kind is None or there == [kind] else {kind: None}
        return Wish(f"no {kind or 'health'} check of {process}", {"runtime": {"health": {process: patch}}})

    with open_platform() as platform:
        change_settings(platform, remote.app_name(name), plan, as_json=as_json)


def _document(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Null is written for what is not asked, as the change is merged into what may be there."""
    try:
        words = shlex.split(asked["line"] or "")
    except ValueError as error:
        raise UsageError(f"the command cannot be read: {error}", hint="close its quotes") from None
    if asked["scheme"] != "http" and not asked["path"]:
        raise UsageError("--scheme is for --path alone", hint="add --path")
    return {
        "path": asked["path"],
        "scheme": asked["scheme"],
        "command": words or None,
        "listening": asked["listening"] or None,
        "port": asked["port"],
        "attempts": asked["attempts"],
        "timeout": asked["timeout"],
        "wait": asked["interval"],
        "initial_delay": asked["grace"],
    }


def _rows(settings: AppSettings, declared: Declared) -> list[dict[str, Any]]:
    said = [(checks, "app.json") for checks in declared.health.items()]
    said += [(checks, "healthchecks set") for checks in settings.runtime.health.items()]
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for (process, checks), who in said:
        for check in checks:
            found[process, check.kind] = _row(process, check, who)
    return [found[key] for key in sorted(found)]


def _row(process: str, check: HealthCheck, who: str) -> dict[str, Any]:
    return {
        "process": process,
        "kind": check.kind.value,
        "asks": describe(check),
        "attempts": check.attempts,
        "timeout": check.timeout,
        "interval": check.wait,
        "grace": check.initial_delay,
        "by": who,
    }
