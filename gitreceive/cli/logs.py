import re
import sys
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from gitreceive import config, wiring
from gitreceive.applogs import AppLogs, Following
from gitreceive.cli.common import (
    app_option,
    as_json,
    open_target,
    own_app,
    print_json_line,
    require_app,
    seconds,
)
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.joblogs import FROM_JOBS
from gitreceive.model import App, JobId, LogLine, LogQuery, LogSource, Permission
from gitreceive.sanitise import sanitise

if TYPE_CHECKING:
    from gitreceive.ports import Ledger

_MOST_LINES = 100_000
_MOST = 2**31 - 1  # the largest number that every database takes
_USUAL = frozenset(LogSource) - {LogSource.BUILD}
_PALETTE = (
    "36",
    "33",
    "32",
    "35",
    "34",
    "96",
    "93",
    "92",
    "95",
    "94",
)  # SGR; no red, which says that something is wrong


@click.command("logs")
@click.argument("word", metavar="[APP]", required=False)
@app_option
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what comes, over restarts and releases; Ctrl-C ends it."
)
@click.option(
    "-n",
    "number",
    type=click.IntRange(0, _MOST_LINES),
    default=100,
    show_default=True,
    metavar="N",
    help="The last so many lines.",
)
@click.option(
    "--ps", "process", metavar="NAME", help="Only this process type, such as web, or this instance, as in ps."
)
@click.option(
    "--source",
    "sources",
    type=click.Choice([*(str(source) for source in LogSource), "all"]),
    multiple=True,
    help="Only what these print; may be given more than once.  [default: all but build]",
)
@click.option(
    "--build", "build", type=click.IntRange(1, _MOST), metavar="N", help="Only the log of that build."
)
@click.option(
    "--since",
    metavar="TIME",
    help="Only what is younger: 90s, 5m, 2h, 1d ago, or a time such as 2026-01-31T09:00:00Z.",
)
@click.option("--until", metavar="TIME", help="Only what is older.")
@click.option(
    "--color",
    "--colour",
    "color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="A colour for each process.  [default: on a terminal, unless NO_COLOR is set]",
)
@as_json
def command(
    word: str | None,
    app: str | None,
    follow: bool,
    number: int,
    process: str | None,
    sources: tuple[str, ...],
    build: int | None,
    since: str | None,
    until: str | None,
    color: str,
    as_json: bool,
) -> None:
    """What the app prints: its processes, one-off commands, cron, release commands and builds, by time.

    With --json, one object a line: time, source, process, instance, text.

    \b
    Examples:
      gitreceive logs -f
      gitreceive logs shop --ps worker --since 10m -n 500
      gitreceive logs shop --source build --source release
      gitreceive logs shop --build 12
    """
    if follow and until:
        raise UsageError("--until ends what --follow would go on with", hint="leave one of them out")
    query = LogQuery(
        process=process,
        lines=number,
        since=_moment(since),
        until=_moment(until),
        follow=follow,
        sources=FROM_JOBS if build else _sources(sources),
        job=JobId(build) if build else None,
    )
    with open_target() as (ledger, target):
        one = _app(ledger, word, app, build)
        logs = AppLogs(one, target, ledger, wiring.logbook(config.load()))
        show = _as_json if as_json else Painter(colour=_wants_colour(color)).show
        if follow:
            with closing(logs.follow(query)) as following:
                _show(following, show)
                _tell_end(logs, following)
        elif not _show(logs.read(query), show):
            click.echo("Nothing was printed, or nothing that is looked for; see: gitreceive ps", err=True)


class Painter:
    """Lines for people: when, who, what. What would steer a terminal is made visible; an app's own colours stay where there is colour."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def show(self, line: LogLine) -> None:
        click.echo(self.painted(line), color=True)

    def painted(self, line: LogLine) -> str:
        moment = f"{line.time:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
        head = f"{moment} {line.process}[{line.instance}]:"
        text = sanitise(line.text.encode()).decode().replace("\n", "\n  ")
        if not self._colour:
            return f"{head} {_SGR.sub('', text)}"
        number = _PALETTE[zlib.crc32(line.process.encode()) % len(_PALETTE)]
        end = "\x1b[0m" if _SGR.search(text) else ""
        return f"\x1b[{number}m{head}\x1b[0m {text}{end}"


_SGR = re.compile(r"\x1b\[[0-9;:]*m")


def _app(ledger: "Ledger", word: str | None, given: str | None, build: int | None) -> App:
    """The app that is meant, which the actor may see; that of the build where none is named."""
    if word is not None and given is not None:
        raise UsageError("the app is named twice", hint="leave out one of --app and the word")
    name = word if word is not None else given
    if build is None:
        return own_app(ledger, name)
    job = ledger.job(JobId(build))
    app = require_app(ledger, job.app, Permission.VIEW)
    if name is not None and name != job.app:
        raise NotFoundError(f"build {build} is another app's", hint="gitreceive builds list")
    return app


def _sources(given: tuple[str, ...]) -> frozenset[LogSource]:
    if not given:
        return _USUAL
    return frozenset(LogSource) if "all" in given else frozenset(LogSource(one) for one in given)


def _moment(text: str | None) -> datetime | None:
    """A time, or how long ago. Raises UsageError."""
    if text is None:
        return None
    if _TIME.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(f"{text!r} is not a time", hint="write it as 2026-01-31T09:00:00Z") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    ago = seconds(text)
    return None if ago is None else datetime.now(UTC) - timedelta(seconds=ago)


# RFC 3339, a date alone, and what is between them
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def _wants_colour(choice: str) -> bool:
    if choice == "auto":
        return sys.stdout.isatty() and config.terminal_takes_colour()
    return choice == "always"


def _show(lines: Iterable[LogLine], show: Callable[[LogLine], None]) -> bool:
    """Whether there was any."""
    some = False
    for line in lines:
        some = True
        show(line)
    return some


def _as_json(line: LogLine) -> None:
    facts = {"time": line.time.isoformat(timespec="microseconds"), "source": str(line.source)}
    print_json_line({**facts, "process": line.process, "instance": line.instance, "text": line.text})


def _tell_end(logs: AppLogs, _following: Following) -> None:
    if not logs.is_there():
        click.echo(f"-----> {logs.app.name} is gone: it was destroyed", err=True)
