import shlex
from typing import TYPE_CHECKING

import click

from gitreceive.appjson.told import declared_facts, told_declared
from gitreceive.cli import papers
from gitreceive.cli.common import (
    Group,
    age,
    app_option,
    as_json,
    byte_count,
    open_ledger,
    open_platform,
    print_json,
    print_table,
    require_app,
)
from gitreceive.cli.release_names import named
from gitreceive.model import AppName, Changes, Permission, Release, Scripts

if TYPE_CHECKING:
    from gitreceive.ports import Ledger

_MOST = 2**31 - 1  # the largest number that every database takes


class _Releases(Group):
    """``releases`` alone, and with an app, lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.list_commands(ctx), "-h", "--help"}
        return super().parse_args(ctx, args if args and args[0] in known else ["list", *args])


@click.group("releases", cls=_Releases)
def command() -> None:
    """The app's releases: list, info, diff, sbom, provenance, verify. A release is an image, a config and process types; it is never changed.

    \b
    Example:
      gitreceive releases shop
    """


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
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
def list_(words: tuple[str, ...], app: str | None, number: int, as_json: bool) -> None:
    """What was live, newest first: the first one is. The word list can be left out.

    \b
    Examples:
      gitreceive releases shop
      gitreceive releases list --app shop -n 100 --json
    """
    name, _ = named(words, app, least=0, most=0)
    with open_ledger() as ledger:
        _check_read(ledger, name)
        found = ledger.releases(name, number)
    if as_json:
        print_json([_summary(release, live=release is found[0]) for release in found])
        return
    print_table(
        ("release", "what", "by", "age", "commit", "image"),
        [
            (
                release.label,
                release.description if release.kept else f"{release.description} (no longer kept)",
                release.user,
                age(release.created_at),
                release.commit.short,
                release.image.ref.digest.short,
            )
            for release in found
        ],
        "There are no releases yet: git push",
    )


@command.command("info")
@click.argument("words", metavar="[APP] vN", nargs=-1)
@app_option
@as_json
def info(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """What a release is made of. Of its config the names only, never a value.

    \b
    Example:
      gitreceive releases info shop v5
    """
    name, (number,) = named(words, app, least=1, most=1)
    with open_platform() as platform:
        _check_read(platform.ledger, name)
        release = platform.ledger.release(name, number)
        live = platform.ledger.current_release(name) == release
        beside = papers.beside(platform, release)
    if as_json:
        print_json({**_facts(release, live=live), **papers.facts(beside)})
        return
    click.echo(f"{name} {release.label}: {release.description}{' (live)' if live else ''}")
    for title, text in (*_described(release), *papers.described(beside)):
        click.echo(f"  {title + ':':<12}{text}")


command.add_command(papers.sbom)
command.add_command(papers.provenance)
command.add_command(papers.verify)


@command.command("diff")
@click.argument("words", metavar="[APP] vA vB", nargs=-1)
@app_option
@as_json
def diff(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """What is other in vB than in vA: commits, image, buildpacks, process types, and the names of config, never a value.

    \b
    Example:
      gitreceive releases diff shop v5 v7
    """
    name, (first, second) = named(words, app, least=2, most=2)
    with open_ledger() as ledger:
        _check_read(ledger, name)
        old, new = (ledger.release(name, number) for number in (first, second))
    if as_json:
        print_json(_comparison(old, new))
        return
    lines = list(_differences(old, new))
    if not lines:
        click.echo(f"{name} {old.label} and {new.label} are the same", err=True)
    for title, text in lines:
        click.echo(f"{title + ':':<12}{text}")


def _check_read(ledger: "Ledger", app: AppName) -> None:
    require_app(ledger, app, Permission.VIEW)


def _described(release: Release) -> list[tuple[str, object]]:
    return [
        ("by", f"{release.user}, {age(release.created_at)} ago"),
        ("commit", release.commit),
        ("image", release.image.ref),
        ("size", byte_count(release.image.size)),
        ("buildpacks", ", ".join(release.image.buildpacks) or "-"),
        *((name, command or "what the image runs") for name, command in _processes(release).items()),
        ("config", ", ".join(sorted(release.config)) or "-"),
        *(("declares", line) for line in told_declared(release.declared)),
    ]


def _differences(old: Release, new: Release) -> list[tuple[str, str]]:
    found = [
        ("commits", f"{old.commit.short}..{new.commit.short}" if old.commit != new.commit else ""),
        ("image", _arrow(old.image.ref.digest.short, new.image.ref.digest.short)),
        ("buildpacks", _arrow(", ".join(old.image.buildpacks), ", ".join(new.image.buildpacks))),
        ("processes", _signed(Changes.between(_processes(old), _processes(new)))),
        ("config", _signed(Changes.between(old.config, new.config))),
        ("declares", _signed(Changes.between(_declared(old), _declared(new)))),
    ]
    return [(title, text) for title, text in found if text]


def _arrow(old: str, new: str) -> str:
    return f"{old} → {new}" if old != new else ""


def _signed(changes: Changes) -> str:
    signs = (("+", changes.added), ("-", changes.removed), ("~", changes.changed))
    return ", ".join(f"{sign}{name}" for sign, names in signs for name in names)


def _comparison(old: Release, new: Release) -> dict[str, object]:
    return {
        "app": old.app,
        "from": _summary(old),
        "to": _summary(new),
        "buildpacks": {"from": list(old.image.buildpacks), "to": list(new.image.buildpacks)},
        "processes": _change_facts(Changes.between(_processes(old), _processes(new))),
        "config": _change_facts(Changes.between(old.config, new.config)),
    }


def _change_facts(changes: Changes) -> dict[str, object]:
    return {
        "added": list(changes.added),
        "removed": list(changes.removed),
        "changed": list(changes.changed),
    }


def _facts(release: Release, *, live: bool) -> dict[str, object]:
    return {
        **_summary(release, live=live),
        "size": release.image.size,
        "buildpacks": list(release.image.buildpacks),
        "processes": [
            {"name": process.name, "command": list(process.command)} for process in release.image.processes
        ],
        "config": sorted(release.config),
        "declares": declared_facts(release.declared),
    }


def _summary(release: Release, *, live: bool | None = None) -> dict[str, object]:
    return {
        "release": release.number,
        "description": release.description,
        "user": release.user,
        "created_at": release.created_at,
        "commit": release.commit,
        "image": str(release.image.ref),
        "kept": release.kept,
        **({} if live is None else {"live": live}),
    }


def _declared(release: Release) -> dict[str, object]:
    declared = release.declared
    health = {f"healthchecks.{process}": checks for process, checks in declared.health.items()}
    found = {**health, "cron": declared.cron, "scripts": declared.scripts}
    return {name: what for name, what in found.items() if what not in {(), Scripts()}}


def _processes(release: Release) -> dict[str, str]:
    """Commands as they would be typed; empty where the image's own runs."""
    return {process.name: shlex.join(process.command) for process in release.image.processes}
