import sys
from typing import TYPE_CHECKING

import click

from gitreceive import config
from gitreceive.cli.common import Group, age, as_json, byte_count, open_ledger, print_json, print_table
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import Stack, StackRecipe
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Ledger

_KINDS = ("build", "run")


@click.group("stack", cls=Group)
def command() -> None:
    """Stacks, the base images: create, update, list, info."""


@command.command("create")
@click.argument("name", default="")
@click.option("--suite", default="bookworm", show_default=True, help="The Debian release.")
@click.option(
    "--add", "packages", metavar="PACKAGE", multiple=True, help="A further Debian package for both images."
)
@click.option(
    "--build-image", metavar="REF", help="Take this image to build in, in place of Debian packages."
)
@click.option("--run-image", metavar="REF", help="Take this image to run on, in place of Debian packages.")
@as_json
def create(
    name: str,
    suite: str,
    packages: tuple[str, ...],
    build_image: str | None,
    run_image: str | None,
    as_json: bool,
) -> None:
    """Make the build and the run image, and keep them in the registry. Of a name that is there already it is the next version.

    \b
    Examples:
      gitreceive stack create
      gitreceive stack create geo --add libgdal32
      gitreceive stack create ours --build-image HOST/build:1 --run-image HOST/run:1
    """
    from gitreceive import wiring

    settings, log = config.load(), _voice()
    recipe = StackRecipe(suite, packages, build_image, run_image)
    made = wiring.create_stack(settings, name or settings.stack, recipe, log)
    with open_ledger(make=True) as ledger:
        stack = ledger.put_stack(made)
    if as_json:
        print_json(_facts(stack))
    else:
        log.step(
            f"{stack.label} is there: build {byte_count(stack.build_bytes)}, run {byte_count(stack.run_bytes)}"
        )


@command.command("update")
@click.argument("name", default="")
@as_json
def update(name: str, as_json: bool) -> None:
    """Make both images again by the stack's own recipe, of the packages or images that there are now.

    What comes out differently is the stack's next version, and what is pushed from then on is built on it. Apps keep what they run on
    until they are pushed or rebased. Where nothing has changed, or something fails, the stack stays as it is.

    \b
    Examples:
      gitreceive stack update
      gitreceive stack update && gitreceive rebase --all
    """
    from gitreceive import wiring

    settings, log = config.load(), _voice()
    with open_ledger() as ledger:
        old = _stack(ledger, name or settings.stack)
        if old.recipe is None:
            raise ConflictError(
                f"the stack {old.name} was made before recipes were kept",
                hint=f"make it once more, with the options that it was made with: gitreceive stack create {old.name}",
            )
        new = wiring.create_stack(settings, old.name, old.recipe, log, known=old)
        changed = (new.build, new.run) != (old.build, old.run)
        new = ledger.put_stack(new) if changed else old
    if as_json:
        changes = {kind: _changes(old, new, kind) for kind in _KINDS}
        print_json({**_facts(new), "changed": changed, "changes": changes})
    elif changed:
        _tell_changes(log, old, new)
    else:
        log.step(f"Nothing to do: {old.label} is what its recipe gives today")


@command.command("list")
@click.option("--packages", is_flag=True, help="With the packages of both images.")
@click.option(
    "--check", is_flag=True, help="Exit 1 unless there are some and the registry has all of their images."
)
@as_json
def list_(packages: bool, check: bool, as_json: bool) -> None:
    """The stacks in their newest version: size, digest, packages.

    \b
    Example:
      gitreceive stack list --packages
    """
    with open_ledger() as ledger:
        stacks = ledger.stacks()
    if as_json:
        print_json([_facts(stack) for stack in stacks])
    else:
        _print(stacks, packages)
    if check and not (stacks and all(_is_whole(stack) for stack in stacks)):
        sys.exit(1)


@command.command("info")
@click.argument("name", default="")
@as_json
def info(name: str, as_json: bool) -> None:
    """How a stack is made, and its versions: what changed in each.

    \b
    Example:
      gitreceive stack info bookworm
    """
    with open_ledger() as ledger:
        versions = ledger.stack_versions(_stack(ledger, name or config.load().stack).name)
    if as_json:
        print_json({"name": versions[0].name, "versions": [_facts(stack) for stack in versions]})
        return
    click.echo(f"{versions[0].name}: {_recipe(versions[0])}")
    before = {stack.version + 1: stack for stack in versions}
    print_table(
        ("version", "age", "build", "run", "packages changed"),
        [
            (
                stack.version,
                age(stack.created_at),
                stack.build.digest.short,
                stack.run.digest.short,
                ", ".join(f"{kind} {len(_changes(earlier, stack, kind))}" for kind in _KINDS)
                if (earlier := before.get(stack.version))
                else "-",
            )
            for stack in versions
        ],
        "",
    )


def _voice() -> Voice:
    return Voice(lambda chunk: click.echo(chunk.decode(), nl=False, err=True))


def _stack(ledger: "Ledger", name: str) -> Stack:
    stack = ledger.stack(name)
    if stack is None:
        raise NotFoundError(f"there is no stack {name[:60]!r}", hint=f"gitreceive stack create {name[:60]}")
    return stack


def _recipe(stack: Stack) -> str:
    recipe = stack.recipe
    if recipe is None:
        return "made before recipes were kept"
    if recipe.build_image:
        return f"build image {recipe.build_image}, run image {recipe.run_image}"
    return f"Debian {recipe.suite}" + (f" with {', '.join(recipe.add)}" if recipe.add else "")


def _changes(old: Stack, new: Stack, kind: str) -> list[dict[str, str | None]]:
    """The packages that differ, by name; ``old`` is None for one that is new, ``new`` for one that is gone."""
    before, after = (dict(entry.split("=", 1) for entry in s.packages.get(kind, ())) for s in (old, new))
    return [
        {"package": name, "old": before.get(name), "new": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _tell_changes(log: Voice, old: Stack, new: Stack) -> None:
    for kind in _KINDS:
        changes = _changes(old, new, kind)
        log.step(f"Packages of the {kind} image: {len(changes) or 'none'} changed")
        for change in changes:
            log.detail(f"{change['package']}: {change['old'] or 'none'} → {change['new'] or 'gone'}")
    log.step(f"{new.label} is there: what is pushed from now on is built on it")
    log.detail("apps stay on what they run on until they are pushed or: gitreceive rebase --all")


def _is_whole(stack: Stack) -> bool:
    from gitreceive import wiring

    return all(check.ok for check in wiring.check_stack(config.load(), stack))


def _print(stacks: tuple[Stack, ...], packages: bool) -> None:
    print_table(
        ("stack", "version", "image", "size", "packages", "digest", "age"),
        [
            (
                stack.name,
                stack.version,
                kind,
                byte_count(size),
                len(stack.packages.get(kind, ())),
                ref.digest.short,
                age(stack.created_at),
            )
            for stack in stacks
            for kind, ref, size in (
                ("build", stack.build, stack.build_bytes),
                ("run", stack.run, stack.run_bytes),
            )
        ],
        "There are no stacks yet: gitreceive stack create",
    )
    if packages:
        for stack in stacks:
            for kind, names in stack.packages.items():
                click.echo(f"\n{stack.name} {kind}:\n  " + "\n  ".join(names))


def _facts(stack: Stack) -> dict[str, object]:
    recipe = stack.recipe
    return {
        "name": stack.name,
        "version": stack.version,
        "build": str(stack.build),
        "run": str(stack.run),
        "build_bytes": stack.build_bytes,
        "run_bytes": stack.run_bytes,
        "packages": {kind: list(names) for kind, names in stack.packages.items()},
        "recipe": {**vars(recipe), "add": list(recipe.add)} if recipe else None,
        "created_at": stack.created_at,
    }
