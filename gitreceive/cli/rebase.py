import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gitreceive import config, data_folder
from gitreceive.access import check_admin
from gitreceive.cli import remote
from gitreceive.cli.common import (
    actor,
    app_option,
    as_json,
    open_platform,
    print_json,
    print_table,
    require_app,
)
from gitreceive.cli.recording import nothing_changed
from gitreceive.cli.watching import watched, write
from gitreceive.errors import GitreceiveError, NotFoundError, UsageError
from gitreceive.model import AppName, Job, JobState, Permission, Rebase, User
from gitreceive.stories.rebase import Move, Wish, is_of_buildpacks, plan_move
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform


@dataclass(frozen=True)
class _Asked:
    """What became of one app. ``job`` is there where one was made; ``why`` says what spoke against one."""

    app: AppName
    move: Move | None = None
    job: Job | None = None
    why: str = ""
    hint: str = ""
    skipped: bool = False  # of --all: there is nothing that could be rebased, so that is no failure

    @property
    def result(self) -> str:
        if self.skipped:
            return "skipped"
        if self.move is None:
            return "refused"
        if self.job is None:
            return "to do" if self.move.needed else "newest"
        if self.job.state is JobState.CANCELED and not self.job.cancel_requested_by:
            return "newest"  # a push was quicker
        return str(self.job.state)

    @property
    def failed(self) -> bool:
        return self.result in {"refused", "failed", "canceled"}


@click.command("rebase")
@click.argument("apps", metavar="[APP]...", nargs=-1)
@app_option
@click.option("--all", "every", is_flag=True, help="All apps, for administrators.")
@click.option("--stack", metavar="NAME", help="The stack to go to; else the one that each app is on.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--force", is_flag=True, help="Also to a run image that is not known to be alike.")
@as_json
def command(
    apps: tuple[str, ...],
    app: str | None,
    every: bool,
    stack: str | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Put apps on the newest version of their stack's run image, each as a new release. Nothing is built.

    An app's own layers stay as they are. The release command does not run again, and the branch stays where it is. What does not come
    up on the new run image is put back. Exit 1 if an app was not rebased that should have been; the others are.

    \b
    Examples:
      gitreceive rebase shop
      gitreceive rebase --all --dry-run
    """
    with open_platform() as platform:
        if stack and platform.ledger.stack(stack) is None:
            raise NotFoundError(f"there is no stack {stack[:60]!r}", hint="gitreceive stack list shows them")
        names = _names(platform, apps, app, every=every)
        asked = [_plan(platform, name, Wish(stack, force=force), every=every) for name in names]
        if dry_run or not any(one.move and one.move.needed for one in asked):
            nothing_changed()
        if not dry_run:
            asked = _carry_out(platform, asked, force=force, alone=len(asked) == 1 and not as_json)
    if as_json:
        print_json([_facts(one) for one in asked])
    else:
        _tell(asked, alone=len(asked) == 1 and not every)
    if any(one.failed for one in asked):
        sys.exit(1)


def _names(platform: "Platform", apps: Sequence[str], app: str | None, *, every: bool) -> list[AppName]:
    """The apps that are meant, once each, which the actor may change. Raises UsageError, NotFoundError, ForbiddenError."""
    who = actor(platform.ledger)
    if every:
        if apps or app:
            raise UsageError("--all is all apps", hint="name some, or leave the names out")
        check_admin(who, "rebase all apps")
        return [known.name for known in platform.ledger.apps()]
    named = [AppName.parse(name) for name in apps]
    if app or not apps:
        named.append(remote.app_name(app))
    for name in named:
        require_app(platform.ledger, name, Permission.DEPLOY)
    return list(dict.fromkeys(named))


def _plan(platform: "Platform", app: AppName, wish: Wish, *, every: bool) -> _Asked:
    try:
        return _Asked(app, plan_move(app, wish, platform.ledger, platform.registry))
    except GitreceiveError as error:
        skipped = every and not is_of_buildpacks(platform.ledger.current_release(app))
        return _Asked(app, why=error.message, hint=error.hint, skipped=skipped)


def _carry_out(platform: "Platform", asked: list[_Asked], *, force: bool, alone: bool) -> list[_Asked]:
    """All jobs are the server's at once, and go on there whatever happens to this command."""
    if any(one.move and one.move.needed for one in asked):
        data_folder.require_server(config.load())
    who = actor(platform.ledger)
    return list(
        _watched(platform, [_enqueued(platform, one, who, force=force) for one in asked], alone=alone)
    )


def _enqueued(platform: "Platform", one: _Asked, who: User, *, force: bool) -> _Asked:
    if one.move is None or not one.move.needed:
        return one
    to = one.move.to
    try:
        job = platform.ledger.enqueue(Rebase(one.app, who.name, to.name, to.version, force))
    except NotFoundError as error:  # destroyed meanwhile
        return _Asked(one.app, why=error.message, hint=error.hint)
    return _Asked(one.app, one.move, job)


def _watched(platform: "Platform", asked: list[_Asked], *, alone: bool) -> Iterator[_Asked]:
    for one in asked:
        if one.job is None:
            yield one
            continue
        ended = watched(one.job, platform, log=alone)
        yield _Asked(one.app, one.move, ended, why=ended.reason, hint=f"gitreceive builds log {ended.id}")


def _tell(asked: list[_Asked], *, alone: bool) -> None:
    voice = Voice(write)
    if alone and asked[0].job is not None:
        return  # its log has said all
    if alone and asked[0].move is None:
        voice.error(asked[0].why, asked[0].hint)
        return
    if alone and asked[0].result == "newest" and asked[0].move:
        release, there = asked[0].move.release, asked[0].move.origin or asked[0].move.to
        voice.step(
            f"Nothing to do: {release.app} {release.label} is on {there.label}, with the newest run image"
        )
        return
    print_table(
        ("app", "release", "from", "to", "result", "seconds", "why"),
        [_row(one) for one in asked],
        "There are no apps yet: gitreceive apps create NAME",
    )


def _row(one: _Asked) -> tuple[object, ...]:
    move, job = one.move, one.job
    return (
        one.app,
        f"v{job.release}" if job and job.release else (move.release.label if move else "-"),
        move.origin.label if move and move.origin else "-",
        move.to.label if move else "-",
        one.result,
        f"{sum(job.seconds.values()):.1f}" if job else "-",
        one.why,
    )


def _facts(one: _Asked) -> dict[str, object]:
    move, job = one.move, one.job
    return {
        "app": one.app,
        "result": one.result.replace(" ", "_"),
        "from": {"stack": move.origin.name, "version": move.origin.version} if move and move.origin else None,
        "to": {"stack": move.to.name, "version": move.to.version} if move else None,
        "release": (job.release if job and job.release else move.release.number if move else None),
        "build": job.id if job else None,
        "seconds": dict(job.seconds) if job else {},
        "reason": one.why,
        "hint": one.hint if one.failed or one.skipped else "",
    }
