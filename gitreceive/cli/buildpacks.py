from typing import TYPE_CHECKING

import click

from gitreceive import config
from gitreceive.cli.common import Group, as_json, open_ledger, print_json, require_app
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.model import MOST_BUILDPACKS, App, AppName, BuildpackRef, Permission, RefKind

if TYPE_CHECKING:
    from gitreceive.ports import Ledger

_app = click.argument("app", metavar="APP")
_refs = click.argument("refs", metavar="REF...", nargs=-1, required=True)


@click.group("buildpacks", cls=Group)
def command() -> None:
    """By which buildpacks an app is built: list, set, add, remove, clear.

    REF is an id (python, gitreceive/python@0.1.0), a folder of the app's source (./ci/buildpack), an image
    (docker://HOST/REPOSITORY) or an archive (https://HOST/FILE.tgz#sha256=HEX). What is set counts from the next push on;
    git push -o buildpack=REF counts more, and project.toml and .buildpacks in the source count less. Without any of them
    the server's buildpacks are tried in order.
    """


@command.command("list")
@_app
@as_json
def list_(app: str, as_json: bool) -> None:
    """The buildpacks that were set for APP, in order.

    \b
    Example:
      gitreceive buildpacks list shop
    """
    with open_ledger() as ledger:
        found = require_app(ledger, AppName.parse(app), Permission.VIEW)
    _print(found, as_json=as_json)
    if not found.buildpacks and not as_json:
        click.echo(
            f"None are set for {found.name}: its source says, or the server's are tried in order", err=True
        )


@command.command("set")
@_app
@_refs
@as_json
def set_(app: str, refs: tuple[str, ...], as_json: bool) -> None:
    """Build APP by these buildpacks, in this order, in place of those that were set before. Each has to take the source.

    An image by tag is looked up now, and kept by its digest.

    \b
    Examples:
      gitreceive buildpacks set shop gitreceive/nodejs gitreceive/python
      gitreceive buildpacks set shop docker://registry.example/buildpacks/lua:1.2
    """
    with open_ledger() as ledger:
        before = _own(ledger, app)
        after = _change(ledger, before, _looked_up(refs))
    _say(after, as_json=as_json)


@command.command("add")
@_app
@click.argument("ref", metavar="REF")
@click.option("--index", type=click.IntRange(1), metavar="N", help="Its place, from 1.  [default: the last]")
@as_json
def add(app: str, ref: str, index: int | None, as_json: bool) -> None:
    """Add a buildpack to those of APP.

    \b
    Example:
      gitreceive buildpacks add shop gitreceive/nodejs --index 1
    """
    with open_ledger() as ledger:
        before = _own(ledger, app)
        at = len(before.buildpacks) if index is None else index - 1
        if at > len(before.buildpacks):
            raise UsageError(
                f"there is no place {index}: {before.name} has {len(before.buildpacks)} buildpacks",
                hint=f"use 1 to {len(before.buildpacks) + 1}",
            )
        refs = (*before.buildpacks[:at], *_looked_up((ref,)), *before.buildpacks[at:])
        after = _change(ledger, before, refs)
    _say(after, as_json=as_json)


@command.command("remove")
@_app
@click.argument("ref", metavar="REF")
@as_json
def remove(app: str, ref: str, as_json: bool) -> None:
    """Take a buildpack from those of APP. REF is written as list shows it, or is its place, from 1.

    \b
    Examples:
      gitreceive buildpacks remove shop gitreceive/nodejs
      gitreceive buildpacks remove shop 1
    """
    with open_ledger() as ledger:
        before = _own(ledger, app)
        at = _place(before, ref)
        after = _change(ledger, before, (*before.buildpacks[:at], *before.buildpacks[at + 1 :]))
    _say(after, as_json=as_json)


@command.command("clear")
@_app
@as_json
def clear(app: str, as_json: bool) -> None:
    """Forget the buildpacks of APP: its source says again, or the server's are tried in order.

    \b
    Example:
      gitreceive buildpacks clear shop
    """
    with open_ledger() as ledger:
        after = _change(ledger, _own(ledger, app), ())
    _say(after, as_json=as_json)


def _own(ledger: "Ledger", name: str) -> App:
    """Raises NotFoundError, ForbiddenError, UsageError."""
    return require_app(ledger, AppName.parse(name), Permission.CONFIGURE)


def _change(ledger: "Ledger", before: App, refs: tuple[str, ...]) -> App:
    """Raises UsageError for a group that no push could be built by."""
    twice = next((ref for ref in refs if refs.count(ref) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is named twice", hint="each buildpack of a group runs once")
    if len(refs) > MOST_BUILDPACKS:
        raise UsageError(f"these are {len(refs)} buildpacks; a group has at most {MOST_BUILDPACKS}")
    return ledger.set_buildpacks(before.name, before.buildpacks, refs)


def _looked_up(refs: tuple[str, ...]) -> tuple[str, ...]:
    """As they are kept: ids in full, images by digest. Raises what each of them is refused with, before any is kept."""
    from gitreceive import wiring
    from gitreceive.buildpacks.order import find, read_folder
    from gitreceive.cancellation import Cancellation

    settings = config.load()
    found = []
    for text in refs:
        ref = BuildpackRef.parse(text)
        if ref.kind is RefKind.KNOWN:
            folder = read_folder(config.buildpacks_folder(settings.build))
            member = find(folder, ref, "buildpacks")
            found.append(f"{member.id}@{member.version}" if ref.version else member.id)
        elif ref.kind in {RefKind.IMAGE, RefKind.ARCHIVE}:
            found.append(wiring.buildpack_source(settings).pin(ref, Cancellation()).text)
        else:
            found.append(ref.text)
    return tuple(found)


def _place(app: App, text: str) -> int:
    """Raises NotFoundError, listing those that there are."""
    if text.isascii() and text.isdigit() and 1 <= int(text) <= len(app.buildpacks):
        return int(text) - 1
    ends = [at for at, ref in enumerate(app.buildpacks) if ref == text or ref.endswith(f"/{text}")]
    if len(ends) != 1:
        known = ", ".join(app.buildpacks) or "none"
        raise NotFoundError(
            f"{app.name} has no buildpack {text[:200]!r} set", hint=f"those that are: {known}"
        )
    return ends[0]


def _say(app: App, *, as_json: bool) -> None:
    if not as_json:
        said = f"{len(app.buildpacks)} set" if app.buildpacks else "none set"
        click.echo(f"-----> The buildpacks of {app.name} from the next push on: {said}", err=True)
    _print(app, as_json=as_json)


def _print(app: App, *, as_json: bool) -> None:
    if as_json:
        print_json({"app": app.name, "buildpacks": list(app.buildpacks)})
        return
    for ref in app.buildpacks:
        click.echo(ref)
