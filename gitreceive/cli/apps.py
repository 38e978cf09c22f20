import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from gitreceive import config, wiring
from gitreceive.access import check_whole, may
from gitreceive.cli.common import (
    Group,
    actor,
    age,
    app_option,
    as_json,
    open_ledger,
    open_platform,
    open_target,
    own_app,
    print_json,
    print_table,
    require_app,
)
from gitreceive.cli.lock import lock_facts
from gitreceive.cli.provisioned import described as described_services
from gitreceive.cli.transfer import export, import_
from gitreceive.cli.volumes import described
from gitreceive.cli.watching import write
from gitreceive.errors import GitreceiveError, UsageError
from gitreceive.model import App, AppName, Permission, UserName
from gitreceive.stories.removal import remove
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Ledger, Platform, Target


@click.group("apps", cls=Group)
def command() -> None:
    """Apps: create, list, info, destroy, export, import."""


command.add_command(export)
command.add_command(import_)


@command.command("create")
@click.argument("name")
@click.option("--branch", help="The branch whose push deploys.  [default: the server's, main]")
@click.option("--owner", help="The user it belongs to; on the server's own host only.")
@as_json
def create(name: str, branch: str | None, owner: str | None, as_json: bool) -> None:
    """Make an app that can be pushed to.

    \b
    Example:
      gitreceive apps create shop
      git remote add deploy ssh://git@HOST:2222/shop
    """
    settings = config.load()
    with open_ledger() as ledger:
        who = actor(ledger)
        check_whole(who, "create apps")
        if owner and config.acting_user() is not None and owner != who.name:
            raise UsageError("--owner is for the server's own host", hint="leave it out: the app is yours")
        user = UserName.parse(owner or who.name)
        app = ledger.create_app(AppName.parse(name), user, branch or settings.policy.branch)
        wiring.sources(settings).create(app.name)
    url = push_url(settings, app.name)
    if as_json:
        print_json({"name": app.name, "owner": app.owner, "branch": app.branch, "git_url": url})
        return
    click.echo(f"-----> {app.name} is there and belongs to {app.owner}", err=True)
    click.echo(f"       git remote add deploy {url}", err=True)
    click.echo(f"       git push deploy {app.branch}", err=True)
    click.echo(url)


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """The apps that you may see, with what is live.

    \b
    Example:
      gitreceive apps list --json
    """
    with open_ledger() as ledger:
        who = actor(ledger)
        apps = [
            (app, ledger.current_release(app.name))
            for app in ledger.apps()
            if may(Permission.VIEW, who, app, ledger)
        ]
    if as_json:
        print_json(
            [
                {
                    "name": app.name,
                    "owner": app.owner,
                    "branch": app.branch,
                    "release": release.number if release else None,
                    "commit": release.commit if release else None,
                    "review_of": app.review.of if app.review else None,
                }
                for app, release in apps
            ]
        )
        return
    print_table(
        ("app", "owner", "branch", "release", "commit", "since"),
        [
            (app.name, app.owner, app.branch)
            + ((release.label, release.commit.short, age(release.created_at)) if release else ("-", "-", "-"))
            for app, release in apps
        ],
        "There are no apps yet: gitreceive apps create NAME",
    )


@command.command("info")
@click.argument("name", required=False)
@app_option
@as_json
def info(name: str | None, app: str | None, as_json: bool) -> None:
    """All about one app: what is live, from where, and where it answers.

    \b
    Example:
      gitreceive apps info shop
    """
    with open_target() as (ledger, target):
        facts = _facts(ledger, target, own_app(ledger, name or app))
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' '):12} {_shown(value)}")


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value)) or "-"
        case {"by": by, "reason": reason, "since": datetime() as since}:
            return f"by {by}, {age(since)} ago: {reason}"
        case _:
            return "-" if value in {None, ""} else str(value)


def _facts(ledger: "Ledger", target: "Target", app: App) -> dict[str, object]:
    release = ledger.current_release(app.name)
    newest = ledger.jobs(app.name, 1)
    routing = ledger.settings(app.name).routing
    settings = ledger.settings(app.name)
    return {
        "name": app.name,
        "owner": app.owner,
        "branch": app.branch,
        "git_url": push_url(config.load(), app.review.of if app.review else app.name),
        "url": target.url(app.name) if release else None,
        "domains": list(routing.domains),
        "https_only": routing.https,
        "release": release.label if release else None,
        "commit": release.commit if release else None,
        "image": str(release.image.ref) if release else None,
        "buildpacks": list(release.image.buildpacks) if release else [],
        "processes": [process.name for process in release.services] if release else [],
        "locked": lock_facts(app),
        "maintenance": settings.maintenance.on,
        "stopped": settings.formation.stopped,
        "review_of": f"{app.review.of}, branch {app.branch}" if app.review else None,
        "stays_until": app.review.until.isoformat() if app.review else None,
        "reviews": [review.name for review in ledger.reviews(app.name)],
        "last_build": f"{newest[0].id} ({newest[0].state})" if newest else None,
    }


@command.command("destroy")
@click.argument("name")
@click.option("--confirm", metavar="NAME", help="The app's name once more, for scripts.")
@as_json
def destroy(name: str, confirm: str | None, as_json: bool) -> None:
    """Remove an app: what runs, its volumes and services with what is in them, its repository, its builds and releases, and its review apps.

    There is no way back. Without --confirm, it says what would go.

    \b
    Example:
      gitreceive apps destroy shop --confirm shop
    """
    with open_platform() as platform:
        app = require_app(platform.ledger, AppName.parse(name), Permission.ADMINISTER)
        _confirm(app, confirm, platform)
        remove(platform, app, Voice(write))
    if as_json:
        print_json({"name": app.name, "owner": app.owner, "destroyed": True})
    else:
        click.echo(f"-----> {app.name} is gone", err=True)


def _confirm(app: App, given: str | None, platform: "Platform") -> None:
    name = app.name
    if given == name:
        return
    more = with_volumes(app, platform) + with_services(app, platform)
    if given is None and sys.stdin.isatty():
        given = click.prompt(
            f" !     This removes {name} and all its releases{more}. Type its name to go on", err=True
        )
    if given is None:
        raise UsageError(
            f"{name} was not removed{more and f'. It would go{more}'}", hint=f"add --confirm {name}"
        )
    if given != name:
        raise UsageError(
            f"{name} was not removed: {given[:60]!r} is not its name", hint=f"add --confirm {name}"
        )


def with_volumes(app: App, platform: "Platform") -> str:
    """What goes with it beside its releases, in words; empty where there is nothing of the kind. Its review apps go with it."""
    ledger = platform.ledger
    names = (app.name, *(review.name for review in ledger.reviews(app.name)))
    # what never had an image was never rolled out
    begun = [name for name in names if any(job.image for job in ledger.jobs(name, sys.maxsize))]
    try:
        there = [volume for name in begun for volume in platform.target.volumes(name)]
    except GitreceiveError:
        return ", and its volumes with what is in them, if it has any (they cannot be seen now)"
    return f", and its volumes with what is in them: {described(there)}" if there else ""


def with_services(app: App, platform: "Platform") -> str:
    """The same of what operators made for it: that is there before the first push, too."""
    names = (app.name, *(review.name for review in platform.ledger.reviews(app.name)))
    try:
        there = [service for name in names for service in platform.target.services(name)]
    except GitreceiveError:
        return ", and its services with what is stored in them, if it has any (they cannot be seen now)"
    return f", and its services with what is stored in them: {described_services(there)}" if there else ""


def push_url(settings: config.Settings, app: AppName) -> str:
    """What developers give to ``git remote add``."""
    host, port = config.parse_listen(settings.ssh_listen)
    shown = settings.public_host or host
    return f"ssh://git@{f'[{shown}]' if ':' in shown else shown}:{port}/{app}"
