import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from gitreceive import config
from gitreceive.cli.addressing import addressed
from gitreceive.cli.common import (
    Group,
    app_option,
    as_json,
    byte_count,
    open_platform,
    open_target,
    own_app,
    print_json,
    print_table,
)
from gitreceive.cli.recording import more_changed
from gitreceive.cli.rollback import who_may
from gitreceive.cli.settings_changes import Wish, carry_out, change_settings, known_process
from gitreceive.cli.watching import write
from gitreceive.errors import ConflictError, NotFoundError, UsageError
from gitreceive.model import (
    AppName,
    AppSettings,
    Permission,
    Release,
    Volume,
    VolumeStatus,
    parse_volume_name,
)
from gitreceive.voice import Voice


@click.group("volumes", cls=Group)
def command() -> None:
    """Folders that outlive processes and releases: add, list, remove.

    One process has a volume at a time, unless it was made --shared: its process type cannot be scaled past one, and the old process ends
    before the new one begins. What is in a volume is kept until it is removed with --destroy, or its app is destroyed.
    """


@command.command("add")
@click.argument("words", metavar="[APP] NAME", nargs=-1, required=True)
@app_option
@click.option("--mount", metavar="PATH", required=True, help="The folder in which processes find it.")
@click.option(
    "--process",
    "processes",
    metavar="TYPE",
    multiple=True,
    default=("web",),
    show_default=True,
    help="Whose processes have it; several times with --shared.",
)
@click.option("--size", help="How much there is room for: 500Mi, 10Gi.  [default: 1Gi, or as it is]")
@click.option("--shared", is_flag=True, help="Any number of processes have it at the same time.")
@as_json
def add(
    words: tuple[str, ...],
    app: str | None,
    mount: str,
    processes: tuple[str, ...],
    size: str | None,
    shared: bool,
    as_json: bool,
) -> None:
    """Give the processes of a type a folder that stays. That is a release.

    A volume of that name which is there already is mounted with what is in it; a larger --size makes it grow where the cluster can do that.
    On Kubernetes --shared needs a storage class that can do it (ReadWriteMany). On Docker nothing limits the size.

    \b
    Examples:
      gitreceive volumes add uploads --mount /data
      gitreceive volumes add shop files --mount /data --size 10Gi --shared --process web --process worker
    """
    name, (volume,) = addressed(words, app, 1, what="volumes")
    parse_volume_name(volume)

    def plan(settings: AppSettings, live: Release | None) -> Wish:
        for process in processes:
            known_process(live, process)
        before = settings.runtime.volumes.get(volume)
        asked = {"mount": mount, "processes": list(processes), "shared": shared}
        made = Volume.parse({**asked, "size": size or (before.size if before else "1Gi")}, f"volume {volume}")
        _require_no_less(volume, before, made)
        if not as_json:
            _tell_what_follows(made)
        return Wish(f"mount volume {volume} at {mount}", {"runtime": {"volumes": {volume: made.document()}}})

    with open_platform() as platform:
        change_settings(platform, name, plan, as_json=as_json, permission=Permission.OPERATE)


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def list_(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """The app's volumes, also those that nothing mounts any more: `detached`.

    \b
    Example:
      gitreceive volumes list shop
    """
    name, _ = addressed(words, app, 0, what="volumes")
    with open_target() as (ledger, target):
        found = own_app(ledger, name)
        rows = rows_of(ledger.settings(found.name).runtime.volumes, target.volumes(found.name))
    if as_json:
        print_json(rows)
        return
    columns = ("name", "mount", "processes", "shared", "size", "used", "state")
    shown = [tuple(_shown(row[column]) for column in columns) for row in rows]
    print_table(columns, shown, f"{name} has no volumes: gitreceive volumes add {name} NAME --mount PATH")


@command.command("remove")
@click.argument("words", metavar="[APP] NAME", nargs=-1, required=True)
@app_option
@click.option("--destroy", is_flag=True, help="And lose what is in it.")
@click.option("--confirm", metavar="NAME", help="With --destroy: the volume's name once more, for scripts.")
@as_json
def remove(
    words: tuple[str, ...], app: str | None, destroy: bool, confirm: str | None, as_json: bool
) -> None:
    """Mount a volume no more. That is a release; what is in the volume is kept, and `volumes add` with its name brings it back.

    With --destroy it is lost, and no rollback brings it back.

    \b
    Examples:
      gitreceive volumes remove shop uploads
      gitreceive volumes remove shop uploads --destroy --confirm uploads
    """
    name, (volume,) = addressed(words, app, 1, what="volumes")
    with open_platform() as platform:
        who_may(platform, name, Permission.OPERATE)
        mounted = volume in platform.ledger.settings(name).runtime.volumes
        if destroy or not mounted:
            there = {status.name: status for status in platform.target.volumes(name)}.get(volume)
            _require_something(name, volume, mounted=mounted, there=there, destroy=destroy)
            _confirm(name, volume, there, confirm)
        done = None
        if mounted:
            wish = Wish(f"unmount volume {volume}", {"runtime": {"volumes": {volume: None}}})
            done = carry_out(platform, name, lambda *_: wish, log=not as_json, permission=Permission.OPERATE)
        gone = destroy and (done is None or done.well) and platform.target.remove_volume(name, volume)
        if gone:
            more_changed()
    if as_json:
        print_json({**(done.facts() if done else {"app": name}), "volume": volume, "destroyed": gone})
    else:
        kept = f"What is in volume {volume} is kept: gitreceive volumes list {name}"
        Voice(write).step(f"Volume {volume} of {name} is gone" if gone else kept)
    if done and not done.well:
        sys.exit(1)


def described(volumes: Iterable[VolumeStatus]) -> str:
    """For who is asked whether they may go: which, and how much is in them, or how large they are."""
    return ", ".join(f"{volume.name} ({_much(volume)})" for volume in volumes)


def rows_of(volumes: Mapping[str, Volume], there: Sequence[VolumeStatus]) -> list[dict[str, Any]]:
    states = {status.name: status for status in there}
    return [_row(name, volumes.get(name), states.get(name)) for name in sorted({*volumes, *states})]


def _row(name: str, volume: Volume | None, there: VolumeStatus | None) -> dict[str, Any]:
    state = there.state if there else "not made yet"
    return {
        "name": name,
        "mount": volume.mount if volume else None,
        "processes": list(volume.processes) if volume else [],
        "shared": volume.shared if volume else None,
        "size": (there.size if there else volume.size if volume else "") or None,
        "used": there.used if there else None,
        "state": state if volume else "detached",
    }


def _shown(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return byte_count(value)
        case list():
            return ", ".join(value) or "-"
        case _:
            return str(value or "-")


def _require_no_less(name: str, before: Volume | None, made: Volume) -> None:
    if before and made.size_bytes < before.size_bytes:
        raise UsageError(
            f"volume {name} has {before.size}, and a volume only grows",
            hint="add a smaller one of another name and copy what is in it",
        )


def _tell_what_follows(volume: Volume) -> None:
    voice = Voice(write)
    if not volume.shared:
        process = volume.processes[0]
        voice.warn(
            f"one process of {process} has it at a time: {process} stays at one, and each release ends the old process before the new one "
            "begins, so for some seconds there is none"
        )
    if config.load().target == "docker":
        voice.detail("on Docker nothing limits how much is in it: --size is for Kubernetes")


def _require_something(
    app: AppName, volume: str, *, mounted: bool, there: VolumeStatus | None, destroy: bool
) -> None:
    if not mounted and there is None:
        raise NotFoundError(f"{app} has no volume {volume[:60]!r}", hint=f"gitreceive volumes list {app}")
    if not mounted and not destroy:
        raise ConflictError(
            f"nothing mounts volume {volume}, and what is in it is kept",
            hint="add --destroy to lose it, or mount it: gitreceive volumes add",
        )


def _confirm(app: AppName, volume: str, there: VolumeStatus | None, given: str | None) -> None:
    much = f" ({_much(there)})" if there else ""
    if given is None and sys.stdin.isatty():
        question = (
            f" !     This loses volume {volume} of {app} and what is in it{much}. Type its name to go on"
        )
        given = click.prompt(question, err=True)
    if given != volume:
        raise UsageError(
            f"volume {volume} was not removed: what is in it{much} would be lost",
            hint=f"add --confirm {volume}",
        )


def _much(volume: VolumeStatus) -> str:
    if volume.used is not None:
        return f"{byte_count(volume.used)} used"
    return f"room for {volume.size}" if volume.size else "nobody knows how much is in it"
