import sys
from typing import TYPE_CHECKING

import click

from gitreceive import config, data_folder
from gitreceive.cli.common import actor, app_option, as_json, open_platform, print_json, require_app
from gitreceive.cli.release_names import named
from gitreceive.cli.watching import watched
from gitreceive.model import AppName, Job, JobState, Permission, Redeploy, Rollback, User
from gitreceive.stories.rollback import Return, live_release, number_before, plan_return, require_image

if TYPE_CHECKING:
    from gitreceive.ports import Platform


@click.command("rollback")
@click.argument("words", metavar="[APP] [vN]", nargs=-1)
@app_option
@as_json
def command(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Make release vN of the app the next one: its image, its process types and its config. Nothing is built.

    Without vN, the one before the live one. The release command does not run: where a migration has to be undone, that is yours to do.
    The branch stays where it is. What does not come up is put back. Exit 1 if it did not go live.

    \b
    Examples:
      gitreceive rollback
      gitreceive rollback shop v5
    """
    name, numbers = named(words, app, least=0, most=1)
    with open_platform() as platform:
        who = who_may(platform, name)
        to = numbers[0] if numbers else number_before(live_release(name, platform.ledger))
        bring_back(platform, Rollback(name, who.name, to), as_json=as_json)


def who_may(platform: "Platform", app: AppName, permission: Permission = Permission.DEPLOY) -> User:
    """Who asks, and may do this with the app. Raises NotFoundError, ForbiddenError, ConflictError where it is locked."""
    require_app(platform.ledger, app, permission).require_unlocked()
    return actor(platform.ledger)


def bring_back(platform: "Platform", cause: Rollback | Redeploy, *, as_json: bool) -> None:
    """Refuse at once what cannot be done; else wait for the job's end, and exit 1 where it is not live."""
    plan = plan_return(cause, platform.ledger)
    require_image(plan.to, platform.registry)
    data_folder.require_server(config.load())
    job = watched(platform.ledger.enqueue(cause), platform, log=not as_json)
    if as_json:
        print_json(_facts(plan, job))
    if job.state is not JobState.LIVE:
        sys.exit(1)


def _facts(plan: Return, job: Job) -> dict[str, object]:
    return {
        "app": job.app,
        "result": job.state,
        "from": plan.live.number,
        "to": plan.to.number,
        "release": job.release,
        "build": job.id,
        "seconds": dict(job.seconds),
        "reason": job.reason,
        "hint": "" if job.state is JobState.LIVE else f"gitreceive builds log {job.id}",
    }
