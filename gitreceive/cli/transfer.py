import json
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreceive import config, data_folder, wiring
from gitreceive.access import check_admin
from gitreceive.cancellation import Cancellation
from gitreceive.cli.common import actor, as_json, open_ledger, open_platform, print_json, require_app
from gitreceive.cli.watching import watched, write
from gitreceive.errors import ConflictError, RegistryError, UsageError
from gitreceive.model import AppName, Job, JobState, Permission, Redeploy, Release, UserName
from gitreceive.stories.transfer import Transferred, document, parse, without
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Ledger, Log, Platform

_MOST_READ = 1 << 30  # bytes of a file of apps
_ALL = sys.maxsize
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("export")
@click.argument("names", metavar="[APP]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All apps but review apps; for administrators.")
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="KEY",
    help="Who can open it: age1… or a public SSH key; may be repeated.",
)
@click.option("--passphrase-file", type=_FILE, help="A file whose first line is the passphrase.")
@click.option(
    "--without-config", is_flag=True, help="Leave the values of config out; then nothing is sealed."
)
@click.option("--json", is_flag=True, expose_value=False, help="As without: it is JSON, inside of its seal.")
def export(
    names: tuple[str, ...],
    every: bool,
    recipients: tuple[str, ...],
    passphrase_file: Path | None,
    without_config: bool,
) -> None:
    """Write apps to standard output, for another server: settings, config and releases. Images stay in the registry, sources in the clones.

    It is sealed as age does it (age-encryption.org/v1), for the keys of recipients, else with a passphrase: from a file, from
    GITRECEIVE_PASSPHRASE, or as it is asked for at a terminal.

    \b
    Examples:
      gitreceive apps export shop --passphrase-file secret.txt > shop.age
      ssh -p 2222 git@HOST apps export shop --recipient age1qy…  > shop.age
    """
    if bool(names) == every:
        raise UsageError("which apps?", hint="name them, or write --all")
    _require_here(passphrase_file)
    with open_ledger() as ledger:
        apps = [_gathered(ledger, name) for name in _named(ledger, names, every=every)]
    if not without_config:
        passphrase = None if recipients else _passphrase(passphrase_file, confirm=True)
        content = wiring.seal(_content(apps, with_config=True), recipients, passphrase)
    elif recipients or passphrase_file:
        raise UsageError("without config nothing is sealed", hint="leave out one of the two")
    else:
        content = _content(apps, with_config=False)
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    kept = sum(len(one.releases) for one in apps)
    Voice(write).step(f"{len(apps)} app{'' if len(apps) == 1 else 's'} with {kept} releases")


@click.command("import")
@click.option("--passphrase-file", type=_FILE, help="A file whose first line is the passphrase.")
@click.option(
    "--identity", type=_FILE, help="A file with the key that opens it: of age-keygen, or an SSH key."
)
@click.option("--owner", help="Whose the apps are.  [default: as they were]")
@click.option("--no-deploy", is_flag=True, help="Take them over, and start nothing.")
@as_json
def import_(
    passphrase_file: Path | None, identity: Path | None, owner: str | None, no_deploy: bool, as_json: bool
) -> None:
    """Take over the apps that standard input holds, as export wrote it, and start what was live. For administrators.

    Images are brought into this server's registry, from the other where that is another one. Of a release whose image is not to be had, only that
    it was is kept; where the live one's is not, nothing is taken over. Numbers go on. Exit 1 if one did not go live.

    \b
    Examples:
      gitreceive apps import --passphrase-file secret.txt < shop.age
      age -d -i key.txt shop.age | ssh -p 2222 git@HOST apps import
    """
    _require_here(passphrase_file, identity)
    with open_platform() as platform:
        check_admin(actor(platform.ledger), "take over apps")
        apps = _read(passphrase_file, identity)
        _require_free(platform.ledger, apps)
        if not no_deploy and any(one.releases for one in apps):
            data_folder.require_server(config.load())
        voice = Voice(write)
        brought = [_brought(platform, one, UserName.parse(owner) if owner else None, voice) for one in apps]
        for one in brought:
            platform.ledger.take_over(one.app, one.config, one.settings, one.releases)
            platform.sources.create(one.app.name)
        jobs = {
            one.app.name: None if no_deploy else _started(platform, one, log=not as_json) for one in brought
        }
    if as_json:
        print_json([_facts(one, jobs[one.app.name]) for one in brought])
    if any(job is not None and job.state is not JobState.LIVE for job in jobs.values()):
        sys.exit(1)


def _require_here(*files: Path | None) -> None:
    if config.acting_user() is not None and any(files):
        raise UsageError(
            "over SSH no file of the server's is read",
            hint="use --recipient; open it before: age -d FILE | ssh …",
        )


def _named(ledger: "Ledger", names: tuple[str, ...], *, every: bool) -> list[AppName]:
    if every:
        check_admin(actor(ledger), "export all apps")
        return [app.name for app in ledger.apps() if app.review is None]
    apps = [require_app(ledger, AppName.parse(name), Permission.CONFIGURE) for name in dict.fromkeys(names)]
    for app in apps:
        if app.review is not None:
            raise UsageError(f"{app.name} is a review app", hint="push its branch to the other server")
    return [app.name for app in apps]


def _gathered(ledger: "Ledger", name: AppName) -> Transferred:
    """Read once, newest release first: one that goes live meanwhile is not in it, and all that is belongs together."""
    releases = tuple(release for release in ledger.releases(name, _ALL) if release.kept)
    waiting = {} if releases else ledger.config(name)
    return Transferred(ledger.app(name), waiting, ledger.settings(name), releases[::-1])


def _content(apps: list[Transferred], *, with_config: bool) -> bytes:
    return json.dumps(document(apps, with_config=with_config), indent=1).encode()


def _passphrase(file: Path | None, *, confirm: bool = False) -> str | None:
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        return lines[0] if lines else None
    if config.acting_user() is not None:
        return None  # what is in the server's own environment is not the asker's
    given = config.passphrase()
    if given is None and sys.stderr.isatty():
        given = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return given


def _read(passphrase_file: Path | None, identity: Path | None) -> tuple[Transferred, ...]:
    content = sys.stdin.buffer.read(_MOST_READ + 1)
    if len(content) > _MOST_READ:
        raise UsageError("standard input is larger than any file of apps", hint="is it the right one?")
    if content.startswith(b"age-encryption.org/"):
        key = identity.read_bytes() if identity else None
        content = wiring.unseal(content, key, None if key else _passphrase(passphrase_file))
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise UsageError(
            "standard input is no file of apps", hint="make one: gitreceive apps export"
        ) from None
    return parse(found)


def _require_free(ledger: "Ledger", apps: tuple[Transferred, ...]) -> None:
    """Before anything is brought. Raises ConflictError, UsageError."""
    there = {app.name for app in ledger.apps()}
    names = [one.app.name for one in apps]
    if taken := sorted(there & set(names)):
        raise ConflictError(
            f"there is an app {taken[0]} already", hint="destroy it first, or export the others"
        )
    if len(set(names)) != len(names):
        raise UsageError("an app is in the file twice", hint="export it again")


def _brought(platform: "Platform", one: Transferred, owner: UserName | None, log: "Log") -> Transferred:
    """With its images in this server's registry, in a repository that no other server has: where both share a registry, the app may be destroyed
    there. Raises RegistryError where the live one's is not to be had.
    """
    repository = f"imported/{one.app.name}-{secrets.token_hex(4)}"
    log.step(f"Taking over {one.app.name}, with {len(one.releases)} releases")
    releases: list[Release] = []
    lost: list[int] = []
    for release in one.releases:
        try:
            ref = platform.registry.copy(str(release.image.ref), repository, log, Cancellation())
        except RegistryError as error:
            if release is one.releases[-1]:
                raise
            log.warn(f"{release.label} is not kept: {error.message}")
            lost.append(release.number)
            ref = release.image.ref
        releases.append(replace(release, image=replace(release.image, ref=ref)))
    app = replace(one.app, owner=owner or one.app.owner)
    return replace(one, app=app, releases=without(releases, lost))


def _started(platform: "Platform", one: Transferred, *, log: bool) -> Job | None:
    """None where there is nothing to start."""
    if not one.releases:
        return None
    job = platform.ledger.enqueue(Redeploy(one.app.name, actor(platform.ledger).name))
    return watched(job, platform, log=log)


def _facts(one: Transferred, job: Job | None) -> dict[str, object]:
    return {
        "app": one.app.name,
        "owner": one.app.owner,
        "releases": [release.number for release in one.releases if release.kept],
        "result": job.state if job else "imported",
        "release": job.release if job else None,
        "build": job.id if job else None,
        "reason": job.reason if job else "",
    }
