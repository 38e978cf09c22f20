import codecs
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gitreceive import config, wiring
from gitreceive.cli.common import (
    Group,
    actor,
    age,
    app_option,
    as_json,
    open_ledger,
    own_app,
    print_json,
    print_json_line,
    print_table,
    require_app,
)
from gitreceive.errors import NotFoundError
from gitreceive.model import Job, JobId, JobState, Permission, Push

if TYPE_CHECKING:
    from gitreceive.ports import Ledger, LogBook

_POLL_SECONDS = 0.1  # between two looks at the log
_LEDGER_SECONDS = 0.5  # between two questions whether the build has ended: hundreds may follow one
_MOST = 2**31 - 1  # the largest number that every database takes

_build_argument = click.argument("build", type=click.IntRange(1, _MOST), required=False, metavar="[BUILD]")


@click.group("builds", cls=Group)
def command() -> None:
    """Builds: list, log, attach, cancel."""


@command.command("list")
@app_option
@click.option(
    "-n",
    "number",
    type=click.IntRange(1, _MOST),
    default=20,
    show_default=True,
    metavar="N",
    help="How many, newest first.",
)
@as_json
def list_(app: str | None, number: int, as_json: bool) -> None:
    """The app's builds and what became of them.

    \b
    Example:
      gitreceive builds list --app shop
    """
    with open_ledger() as ledger:
        jobs = ledger.jobs(own_app(ledger, app).name, number)
    if as_json:
        print_json([_facts(job) for job in jobs])
        return
    print_table(
        ("build", "state", "what", "by", "age", "seconds", "why"),
        [
            (
                job.id,
                job.state,
                job.title,
                job.user,
                age(job.created_at),
                f"{sum(job.seconds.values()):.1f}",
                job.reason or (f"v{job.release}" if job.release else ""),
            )
            for job in jobs
        ],
        "There are no builds yet: git push",
    )


@command.command("log")
@_build_argument
@app_option
@as_json
def log(build: int | None, app: str | None, as_json: bool) -> None:
    """The log of a build, as far as it has come; without a number, of the app's newest.

    \b
    Examples:
      gitreceive builds log 12
      gitreceive builds log --app shop --json
    """
    with open_ledger() as ledger:
        job = _job(ledger, build, app)
        chunks = _chunks(wiring.logbook(config.load()), job.id, 0)
        if as_json:
            print_json({**_facts(job), "log": b"".join(chunks).decode("utf-8", "replace")})
            return
        for chunk in chunks:
            _write(chunk)


@command.command("attach")
@_build_argument
@app_option
@click.option(
    "--offset",
    type=click.IntRange(0, 2**62),
    default=0,
    metavar="BYTE",
    help="Go on from this byte of the log.  [default: 0, all of it]",
)
@as_json
def attach(build: int | None, app: str | None, offset: int, as_json: bool) -> None:
    """Follow a build's log to its end. Ctrl-C leaves the build alone. Exit 0: live; 1: it failed or was canceled.

    With --json, one object a line: the log's next text, and the offset to go on from; the last one is the build.

    \b
    Examples:
      gitreceive builds attach 12
      gitreceive builds attach --app shop --offset 4096
    """
    with open_ledger() as ledger:
        job = _job(ledger, build, app)
        show = _Lines(offset).show if as_json else _write
        for chunk in _followed(ledger, wiring.logbook(config.load()), job.id, offset):
            show(chunk)
        job = ledger.job(job.id)
    if as_json:
        print_json_line(_facts(job))
    if job.state is not JobState.LIVE:
        sys.exit(1)


@command.command("cancel")
@_build_argument
@app_option
@as_json
def cancel(build: int | None, app: str | None, as_json: bool) -> None:
    """Stop a build; without a number, the app's newest. What serves goes on serving.

    \b
    Example:
      gitreceive builds cancel 12
    """
    with open_ledger() as ledger:
        who = actor(ledger)
        job = _job(ledger, build, app, Permission.DEPLOY)
        job = ledger.request_cancel(job.id, who.name)
    if as_json:
        print_json(_facts(job))
    else:
        click.echo(f"-----> Build {job.id} of {job.app} is asked to stop", err=True)


def _job(
    ledger: "Ledger", build: int | None, app: str | None, permission: Permission = Permission.VIEW
) -> Job:
    """The build that is meant, with whose app the actor may do this. Raises NotFoundError, ForbiddenError."""
    if build is not None:
        job = ledger.job(JobId(build))
        require_app(ledger, job.app, permission)
        return job
    own = own_app(ledger, app, permission)
    jobs = ledger.jobs(own.name, 1)
    if not jobs:
        raise NotFoundError(f"{own.name} has no builds yet", hint="git push")
    return jobs[0]


def _followed(ledger: "Ledger", logbook: "LogBook", job: JobId, offset: int) -> Iterator[bytes]:
    """The log from ``offset`` as it grows, until the build has ended: it is complete by then."""
    ended, asked = False, -_LEDGER_SECONDS
    while True:
        if time.monotonic() - asked >= _LEDGER_SECONDS:
            ended, asked = ledger.job(job).state.ended, time.monotonic()
        for chunk in _chunks(logbook, job, offset):
            yield chunk
            offset += len(chunk)
        if ended:
            return
        time.sleep(_POLL_SECONDS)


class _Lines:
    """Pieces of the log as JSON lines. A character that is cut in two waits for its rest."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._held = b""

    def show(self, chunk: bytes) -> None:
        pending = self._held + chunk
        text, used = codecs.utf_8_decode(pending, "replace", False)
        self._held = pending[used:]
        self._offset += used
        print_json_line({"text": text, "offset": self._offset})


def _chunks(logbook: "LogBook", job: JobId, offset: int) -> Iterator[bytes]:
    while chunk := logbook.read(job, offset):
        yield chunk
        offset += len(chunk)


def _write(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _facts(job: Job) -> dict[str, object]:
    return {
        "build": job.id,
        "app": job.app,
        "state": job.state,
        "kind": job.cause.kind,
        "title": job.title,
        "user": job.user,
        "ref": job.cause.ref if isinstance(job.cause, Push) else None,
        "commit": job.cause.new if isinstance(job.cause, Push) else None,
        "release": job.release,
        "image": str(job.image.ref) if job.image else None,
        "reason": job.reason,
        "seconds": dict(job.seconds),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
    }
