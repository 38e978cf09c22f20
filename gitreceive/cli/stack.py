import sys

import click

from gitreceive import config
from gitreceive.cli.common import Group, age, as_json, byte_count, open_ledger, print_json, print_table
from gitreceive.model import Stack
from gitreceive.voice import Voice


@click.group("stack", cls=Group)
def command() -> None:
    """Stacks, the base images: create, list."""


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
    """Make the build and the run image, and keep them in the registry. An existing stack of that name is replaced.

    \b
    Examples:
      gitreceive stack create
      gitreceive stack create geo --add libgdal32
      gitreceive stack create ours --build-image HOST/build:1 --run-image HOST/run:1
    """
    from gitreceive import wiring

    settings = config.load()
    log = Voice(lambda chunk: click.echo(chunk.decode(), nl=False, err=True))
    stack = wiring.create_stack(
        settings,
        name or settings.stack,
        suite=suite,
        packages=packages,
        images=(build_image, run_image),
        log=log,
    )
    with open_ledger(make=True) as ledger:
        ledger.put_stack(stack)
    if as_json:
        print_json(_facts(stack))
    else:
        log.step(
            f"{stack.name} is there: build {byte_count(stack.build_bytes)}, run {byte_count(stack.run_bytes)}"
        )


@command.command("list")
@click.option("--packages", is_flag=True, help="With the packages of both images.")
@click.option(
    "--check", is_flag=True, help="Exit 1 unless there are some and the registry has all of their images."
)
@as_json
def list_(packages: bool, check: bool, as_json: bool) -> None:
    """The stacks: size, digest, packages.

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


def _is_whole(stack: Stack) -> bool:
    from gitreceive import wiring

    return all(check.ok for check in wiring.check_stack(config.load(), stack))


def _print(stacks: tuple[Stack, ...], packages: bool) -> None:
    print_table(
        ("stack", "image", "size", "packages", "digest", "age"),
        [
            (
                stack.name,
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
    return {
        "name": stack.name,
        "build": str(stack.build),
        "run": str(stack.run),
        "build_bytes": stack.build_bytes,
        "run_bytes": stack.run_bytes,
        "packages": {kind: list(names) for kind, names in stack.packages.items()},
        "created_at": stack.created_at,
    }
