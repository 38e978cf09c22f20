import shlex
import sys
from datetime import UTC, datetime
from typing import Any

import click

from gitreceive.background.cron import next_due
from gitreceive.cli.addressing import addressed
from gitreceive.cli.common import (
    Group,
    actor,
    age,
    app_option,
    as_json,
    duration,
    open_ledger,
    open_platform,
    open_target,
    own_app,
    print_json,
    print_table,
    seconds,
)
from gitreceive.cli.run import attach
from gitreceive.cli.settings_changes import Wish, change_settings
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.model import (
    CONCURRENCIES,
    LONGEST_SECONDS,
    AppName,
    AppSettings,
    CronEntry,
    CronRun,
    OneOff,
    Permission,
    Release,
    all_entries,
)
from gitreceive.stories.one_offs import by_buildpacks, command_line, new_name
from gitreceive.stories.rollback import live_release

_WHAT = "entries of cron"


@click.group("cron", cls=Group)
def command() -> None:
    """What runs by the clock: list, set, unset, run, history. What is set here comes before what app.json declares.

    Each run has the image and the config of the release that is live. Times are in UTC.

    \b
    Examples:
      gitreceive cron set shop clean --schedule "0 3 * * *" -- python clean.py
      gitreceive logs shop --source cron
    """


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def list_(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """What runs by the clock, when next, and who said so.

    \b
    Example:
      gitreceive cron list shop
    """
    name, _ = addressed(words, app, 0, what=_WHAT)
    with open_ledger() as ledger:
        found = own_app(ledger, name)
        live, settings = ledger.current_release(found.name), ledger.settings(found.name)
        entries = live.cron if live else all_entries((), settings.schedule)
    running = live is not None and not settings.formation.stopped
    rows = [_facts(entry, running=running) for entry in entries]
    if as_json:
        print_json(rows)
        return
    shown = [
        (r["name"], r["schedule"], _time(r["next"]), r["concurrency"], r["by"], r["command"][:60])
        for r in rows
    ]
    print_table(
        ("name", "schedule", "next (UTC)", "concurrency", "by", "command"), shown, "Nothing runs by the clock"
    )
    if rows and not running:
        why = "it is stopped" if live else "nothing of it is live yet"
        click.echo(f"Nothing of this is run: {why}", err=True)


class _Setting(click.Command):
    """The words behind ``--`` are a command of their own, whatever they look like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_BEHIND] = tuple(args[at + 1 :])
        return super().parse_args(ctx, args[:at])


_BEHIND = "gitreceive.cron.command"


@command.command("set", cls=_Setting)
@click.argument("words", metavar="[APP] NAME -- CMD...", nargs=-1, required=True)
@app_option
@click.option(
    "--schedule", required=True, metavar="TIMES", help='Five fields as in crontab(5), "0 3 * * *", or @daily.'
)
@click.option(
    "--concurrency",
    type=click.Choice(CONCURRENCIES),
    default="forbid",
    show_default=True,
    help="Where an earlier run has not ended.",
)
@click.option(
    "--timeout", metavar="TIME", default="24h", show_default=True, help="End a run after that: 90s, 5m, 2h."
)
@as_json
@click.pass_context
def set_(
    ctx: click.Context,
    words: tuple[str, ...],
    app: str | None,
    schedule: str,
    concurrency: str,
    timeout: str,
    as_json: bool,
) -> None:
    """Run CMD by the clock, as NAME. It is no release, and nothing that runs is disturbed.

    One word is a line for the shell; several are taken as they are.

    \b
    Examples:
      gitreceive cron set clean --schedule "*/5 * * * *" -- python clean.py --all
      gitreceive cron set shop report --schedule @daily --concurrency replace -- 'make report | mail'
    """
    name, (entry,) = addressed(words, app, 1, what=_WHAT)
    behind: tuple[str, ...] = ctx.meta[_BEHIND]
    document = {
        "schedule": schedule,
        "command": behind[0] if len(behind) == 1 else shlex.join(behind),
        "concurrency": concurrency,
        "seconds": _timeout(timeout),
    }
    asked = CronEntry.parse(document, entry)
    if next_due(asked.schedule, datetime.now(UTC)) is None:
        raise UsageError(f"{asked.schedule!r} is never", hint="there is no such day in these months")
    wish = Wish(f"cron {entry}: {asked.schedule}", {"schedule": {"cron": {entry: asked.document()}}})
    with open_platform() as platform:
        change_settings(platform, name, lambda _settings, _live: wish, as_json=as_json)


@command.command("unset")
@click.argument("words", metavar="[APP] NAME", nargs=-1, required=True)
@app_option
@as_json
def unset(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Run NAME no more, or as app.json declares it. Its history goes with it.

    \b
    Example:
      gitreceive cron unset shop clean
    """
    name, (entry,) = addressed(words, app, 1, what=_WHAT)

    def plan(settings: AppSettings, live: Release | None) -> Wish:
        if entry not in settings.schedule.cron:
            declared = live is not None and any(each.name == entry for each in live.cron)
            hint = "it is in app.json: take it out there" if declared else f"gitreceive cron list {name}"
            raise NotFoundError(f"no {entry[:60]} was set with cron", hint=hint)
        return Wish(f"no cron {entry}", {"schedule": {"cron": {entry: None}}})

    with open_platform() as platform:
        change_settings(platform, name, plan, as_json=as_json)


@command.command("run")
@click.argument("words", metavar="[APP] NAME", nargs=-1, required=True)
@app_option
def run(words: tuple[str, ...], app: str | None) -> None:
    """Run NAME now, whatever the clock says, and stay attached: its output, its exit code. It ends with whoever asked for it.

    \b
    Example:
      gitreceive cron run shop clean
    """
    name, (wanted,) = addressed(words, app, 1, what=_WHAT)
    with open_target() as (ledger, target):
        found = own_app(ledger, name, Permission.CONFIGURE)
        release = live_release(found.name, ledger)
        entry = _entry(release, wanted)
        asked = OneOff(
            name=new_name(),
            command=command_line(release.image, (entry.command,)),
            line=entry.command,
            user=actor(ledger).name,
            seconds=entry.seconds,
            kept=by_buildpacks(release.image),
        )
        code = attach(target, release, asked)
    sys.exit(code)


@command.command("history")
@click.argument("words", metavar="[APP] [NAME]", nargs=-1)
@app_option
@as_json
def history(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """What ran by the clock, and how it ended: the last runs of each entry. What could not be run is in `events`.

    \b
    Examples:
      gitreceive cron history shop
      gitreceive cron history shop clean
    """
    name, wanted = addressed(words, app, 0, most=1, what=_WHAT)
    with open_target() as (ledger, target):
        found = own_app(ledger, name)
        if wanted:
            _entry(live_release(found.name, ledger), wanted[0])
        runs = [run for run in target.cron_runs(found.name) if not wanted or run.entry == wanted[0]]
    if as_json:
        print_json([vars(run) for run in runs])
        return
    columns = ("name", "run", "release", "state", "exit", "started", "took", "why")
    print_table(columns, [_row(run) for run in runs], f"Nothing of {found.name} has run by the clock yet")


def _entry(release: Release, name: str) -> CronEntry:
    entries = {entry.name: entry for entry in release.cron}
    if name not in entries:
        raise NotFoundError(
            f"{release.app} runs no {name[:60]} by the clock",
            hint=f"it has {', '.join(entries)}" if entries else _none(release.app),
        )
    return entries[name]


def _none(app: AppName) -> str:
    return f'it has nothing: gitreceive cron set {app} NAME --schedule "0 3 * * *" -- CMD'


def _facts(entry: CronEntry, *, running: bool) -> dict[str, Any]:
    return {
        "name": entry.name,
        "schedule": entry.schedule,
        "next": next_due(entry.schedule, datetime.now(UTC)) if running else None,
        "concurrency": entry.concurrency,
        "seconds": entry.seconds,
        "by": "app.json" if entry.declared else "cron set",
        "command": entry.command,
    }


def _row(run: CronRun) -> tuple[object, ...]:
    took = (run.ended or datetime.now(UTC)) - run.started
    code = "" if run.exit_code is None else run.exit_code
    ran = duration(took.total_seconds())
    return (
        run.entry,
        run.name,
        f"v{run.release}",
        run.state,
        code,
        f"{age(run.started)} ago",
        ran,
        run.reason,
    )


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "-"


def _timeout(text: str) -> int:
    allowed = int(seconds(text) or 0)
    if not 1 <= allowed <= LONGEST_SECONDS:
        raise UsageError("--timeout is from a second to seven days", hint="write 90s, 5m, 2h or 1d")
    return allowed
