import sys
from typing import TYPE_CHECKING

import click

from gitreceive import config, data_folder
from gitreceive.cli.common import actor, app_option, as_json, open_platform, print_json, require_app
from gitreceive.cli.release_names import named
from gitreceive.cli.watching import watched, write
from gitreceive.errors import UsageError
from gitreceive.model import AppName, Job, JobState, Permission, Promotion, Release
from gitreceive.stories.promote import plan_promotion
from gitreceive.stories.rollback import live_release, require_image
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform

_UNCHANGED = "unchanged"


@click.command("promote")
@click.argument("words", metavar="[APP] [vN]", nargs=-1)
@click.option("--to", "to", multiple=True, required=True, metavar="APP", help="Who gets it; may be repeated.")
@app_option
@as_json
def command(words: tuple[str, ...], to: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Make the image of the app's live release, or of vN, the next release of other apps. Nothing is built.

    The same image, to the digest; each app has its own config, and its release command runs with that before anything is replaced. It
    takes the right to see the one and to push to the others. Exit 1 if it did not go live on all.

    \b
    Examples:
      gitreceive promote shop-staging --to shop
      gitreceive promote shop-staging v12 --to shop --to shop-eu
    """
    name, numbers = named(words, app, least=0, most=1)
    with open_platform() as platform:
        promotions = _promotions(platform, name, numbers[0] if numbers else None, to)
        results = _carried_out(platform, promotions, log=not as_json)
    if as_json:
        print_json([_facts(promotion, job) for promotion, job in results])
    if any(job is not None and job.state is not JobState.LIVE for _, job in results):
        sys.exit(1)


def _promotions(
    platform: "Platform", name: AppName, number: int | None, to: tuple[str, ...]
) -> list[Promotion]:
    """Refuse at once what cannot be done, for all of them: none begins then."""
    ledger = platform.ledger
    who = actor(ledger)
    require_app(ledger, name, Permission.VIEW)
    names = [AppName.parse(text) for text in dict.fromkeys(to)]
    apps = [require_app(ledger, one, Permission.DEPLOY) for one in names]
    for one in apps:
        one.require_unlocked()
        if one.name == name:
            raise UsageError(
                f"{name} cannot be promoted to itself", hint=f"to start it anew: gitreceive redeploy {name}"
            )
    release = _release(platform, name, number)
    require_image(release, platform.registry)
    digest = release.image.ref.digest
    return [Promotion(one.name, who.name, name, release.number, digest) for one in apps]


def _release(platform: "Platform", name: AppName, number: int | None) -> Release:
    return live_release(name, platform.ledger) if number is None else platform.ledger.release(name, number)


def _carried_out(
    platform: "Platform", promotions: list[Promotion], *, log: bool
) -> list[tuple[Promotion, Job | None]]:
    """All are asked for, and then watched one after the other. None: the app has the image already."""
    data_folder.require_server(config.load())
    jobs: list[tuple[Promotion, Job | None]] = []
    for promotion in promotions:
        there = plan_promotion(promotion, platform.ledger).there
        jobs.append((promotion, None if there else platform.ledger.enqueue(promotion)))
    return [(promotion, _watched(platform, promotion, job, log=log)) for promotion, job in jobs]


def _watched(platform: "Platform", promotion: Promotion, job: Job | None, *, log: bool) -> Job | None:
    if job is not None:
        return watched(job, platform, log=log)
    Voice(write).step(f"Nothing to do: {promotion.app} has {promotion.origin} v{promotion.number} already")
    return None


def _facts(promotion: Promotion, job: Job | None) -> dict[str, object]:
    return {
        "app": promotion.app,
        "result": job.state if job else _UNCHANGED,
        "from": promotion.origin,
        "from_release": promotion.number,
        "release": job.release if job else None,
        "build": job.id if job else None,
        "seconds": dict(job.seconds) if job else {},
        "reason": job.reason if job else "",
        "hint": "" if job is None or job.state is JobState.LIVE else f"gitreceive builds log {job.id}",
    }
