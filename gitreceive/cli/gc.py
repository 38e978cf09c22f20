import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from gitreceive import config
from gitreceive.access import check_admin
from gitreceive.cli.common import (
    actor,
    app_option,
    as_json,
    byte_count,
    open_platform,
    print_json,
    require_app,
)
from gitreceive.cli.recording import nothing_changed
from gitreceive.cli.watching import write
from gitreceive.model import AppName, Permission
from gitreceive.stories.collection import Collected, Request, collect
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would go, and how much it frees.")
@app_option
@as_json
def command(dry_run: bool, app: str | None, as_json: bool) -> None:
    """Remove what is no longer kept: old releases with their images and config, logs, caches of apps that are gone.

    What is kept is said by the settings [retention]; the server does this by itself, too. Nothing goes that a kept release, a running job or a
    promotion needs; an app with a build under way waits for the next time. With --app it is for whoever may push to that app, else for
    administrators. Exit 1 if something could not be removed.

    \b
    Examples:
      gitreceive gc --dry-run
      gitreceive gc --app shop
    """
    with open_platform() as platform:
        only = AppName.parse(app) if app is not None else None
        _check_may(platform, only)
        settings = config.load().retention
        request = Request(settings, _holder(), datetime.now(UTC), only, dry_run)
        voice = Voice(write)
        voice.step(f"Keeping {settings.releases} releases of each app, and logs of {settings.log_days} days")
        done = collect(request, platform, voice)
    if dry_run:
        nothing_changed()
    if as_json:
        print_json(_facts(done, dry=dry_run))
    else:
        _tell(done, voice, dry=dry_run)
    if done.problems:
        sys.exit(1)


def _check_may(platform: "Platform", only: AppName | None) -> None:
    if only is None:
        check_admin(actor(platform.ledger), "collect of all apps")
    else:
        require_app(platform.ledger, only, Permission.DEPLOY)


def _holder() -> str:
    return f"gc:{os.uname().nodename}:{os.getpid()}:{time.time_ns()}"


def _tell(done: Collected, voice: Voice, *, dry: bool) -> None:
    if done.logs:
        voice.detail(f"logs of {done.logs} builds")
    if done.caches:
        voice.detail(f"caches of apps that are gone: {', '.join(done.caches)}")
    for title, count in done.unused.items():
        voice.detail(f"{count} {title}")
    if done.waiting:
        voice.detail(f"left for the next time, as they are worked on: {', '.join(done.waiting)}")
    begin = "Would free" if dry else "Freed"
    more = " at least, as repositories are not packed to be measured" if dry else ""
    voice.step(f"{begin} {byte_count(done.disk)} here{more}")
    if done.registry:
        voice.detail(
            f"{byte_count(done.registry)} in the registry are then no image's; it frees them when it sweeps"
        )


def _facts(done: Collected, *, dry: bool) -> dict[str, object]:
    return {
        "dry_run": dry,
        "apps": [
            {
                "app": going.app,
                "releases": list(going.releases),
                "images": [str(image) for image in going.images],
            }
            for going in done.apps
        ],
        "waiting": done.waiting,
        "logs": done.logs,
        "caches": done.caches,
        "unused": done.unused,
        "bytes_here": done.disk,
        "bytes_in_registry": done.registry,
        "problems": [error.message for error in done.problems],
    }
