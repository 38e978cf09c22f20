import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gitreceive.access import check_push, check_read
from gitreceive.cli.common import (
    actor,
    age,
    app_option,
    as_json,
    open_ledger,
    open_platform,
    own_app,
    print_json,
    print_table,
)
from gitreceive.errors import NotFoundError
from gitreceive.model import Job, JobId, JobState

if TYPE_CHECKING:
    from gitreceive.ports import Ledger, LogBook

_POLL_SECONDS = 0.1


@click.group("builds")
def command() -> None:
    """Builds: list, log, attach, cancel."""


@command.command("list")
@app_option
@click.option("-n", "number", default=20, show_default=True, help="How many, newest first.")
@as_json
def list_(app: str | None, number: int, as_json: bool) -> None:
    r"""The app's builds and what became of them.

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
        ("build", "state", "commit", "by", "age", "seconds", "why"),
        [
            (
                job.id,
                job.state,
                job.push.new.short,
                job.push.user,
                age(job.created_at),
                f"{sum(job.seconds.values()):.1f}",
                job.reason or (f"v{job.release}" if job.release else ""),
            )
            for job in jobs
        ],
        "There are no builds yet: git push",
    )


@command.command("log")
@click.argument("build", type=int, required=False)
@app_option
def log(build: int | None, app: str | None) -> None:
    r"""The log of a build, as far as it has come; without a number, of the app's newest.

    \b
    Example:
      gitreceive builds log 12
    """
    with open_platform() as platform:
        job = _job(platform.ledger, build, app)
        for chunk in _chunks(platform.logbook, job.id, 0):
            _write(chunk)


@command.command("attach")
@click.argument("build", type=int, required=False)
@app_option
@click.option("--offset", default=0, help="Go on from this byte of the log.  [default: 0, all of it]")
def attach(build: int | None, app: str | None, offset: int) -> None:
    r"""Follow a build's log to its end. Ctrl-C leaves the build alone. Exit 0: live; 1: it failed or was canceled.

    \b
    Examples:
      gitreceive builds attach 12
      gitreceive builds attach --app shop
    """
    with open_platform() as platform:
        job = _job(platform.ledger, build, app)
        while True:
            ended = platform.ledger.job(job.id).state.ended
            for chunk in _chunks(platform.logbook, job.id, offset):
                _write(chunk)
                offset += len(chunk)
            if ended:
                break
            time.sleep(_POLL_SECONDS)
        job = platform.ledger.job(job.id)
    if job.state is not JobState.LIVE:
        sys.exit(1)


@command.command("cancel")
@click.argument("build", type=int, required=False)
@app_option
@as_json
def cancel(build: int | None, app: str | None, as_json: bool) -> None:
    r"""Stop a build; without a number, the app's newest. What serves goes on serving.

    \b
    Example:
      gitreceive builds cancel 12
    """
    with open_ledger() as ledger:
        who = actor(ledger)
        job = _job(ledger, build, app)
        check_push(who, ledger.app(job.app))
        job = ledger.request_cancel(job.id, who.name)
    if as_json:
        print_json(_facts(job))
    else:
        click.echo(f"-----> Build {job.id} of {job.app} is asked to stop", err=True)


def _job(ledger: "Ledger", build: int | None, app: str | None) -> Job:
    """The build that is meant, which the actor may see. Raises NotFoundError, ForbiddenError."""
    if build is not None:
        job = ledger.job(JobId(build))
        check_read(actor(ledger), ledger.app(job.app))
        return job
    own = own_app(ledger, app)
    jobs = ledger.jobs(own.name, 1)
    if not jobs:
        raise NotFoundError(f"{own.name} has no builds yet", hint="git push")
    return jobs[0]


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
        "user": job.push.user,
        "ref": job.push.ref,
        "commit": job.push.new,
        "release": job.release,
        "image": str(job.image.ref) if job.image else None,
        "reason": job.reason,
        "seconds": dict(job.seconds),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
    }
