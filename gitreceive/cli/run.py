import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from gitreceive import config
from gitreceive.background import custody
from gitreceive.cancellation import Cancellation
from gitreceive.cli.attaching import carry, ending_in_order, terminal_here
from gitreceive.cli.common import (
    Group,
    actor,
    age,
    app_option,
    as_json,
    open_target,
    own_app,
    print_json,
    print_table,
    seconds,
)
from gitreceive.cli.watching import write
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.model import Limits, OneOff, Permission, Release, Secret, parse_config_name
from gitreceive.stories.one_offs import by_buildpacks, command_line, new_name
from gitreceive.stories.rollback import live_release
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Target

_LONGEST = 7 * 24 * 3600
_SIZES = {"1x": 1, "2x": 2, "4x": 4, "8x": 8}
_UNITS = {"k": "Ki", "m": "Mi", "g": "Gi"}  # Docker's are powers of 1024


class _Run(Group):
    """What is none of its commands is a process to start."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group("run", cls=_Run)
def command() -> None:
    """Run a process of the live release, with its image, its config and the environment of its buildpacks.

    `run CMD` is short for `run start -- CMD`. Over SSH, a terminal is asked for with ssh -t.

    \b
    Examples:
      gitreceive run -- python manage.py shell
      gitreceive run --app shop 'pg_dump $DATABASE_URL' > shop.sql
      ssh -t -p 2222 git@HOST run --app shop bash
    """


@command.command("start", context_settings={"allow_interspersed_args": False})
@app_option
@click.option("-d", "--detach", is_flag=True, help="Do not wait for it: print its name.")
@click.option(
    "--size", type=click.Choice(list(_SIZES)), help="So many times the memory of the app's processes."
)
@click.option("--memory", metavar="SIZE", help="Its memory: 512Mi, 1Gi.")
@click.option("--cpu", metavar="CPUS", help="Its processors: 0.5 or 500m.")
@click.option("-e", "--env", "environment", metavar="NAME=VALUE", multiple=True, help="One variable more.")
@click.option(
    "--timeout", metavar="TIME", default="24h", show_default=True, help="End it after that: 90s, 5m, 2h."
)
@click.option("--no-tty", is_flag=True, help="Three pipes, also where there is a terminal.")
@as_json
@click.argument("words", metavar="CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def start(
    app: str | None,
    detach: bool,
    size: str | None,
    memory: str | None,
    cpu: str | None,
    environment: tuple[str, ...],
    timeout: str,
    no_tty: bool,
    as_json: bool,
    words: tuple[str, ...],
) -> None:
    """Start CMD and stay attached: its output, its input, its exit code. It ends with whoever asked for it.

    One word is a line for the shell; several are taken as they are. --json is for --detach: otherwise all output is CMD's.

    \b
    Examples:
      gitreceive run start -- rake db:migrate
      gitreceive run start --detach --timeout 2h -- python manage.py reindex
    """
    limits = _limits(size, memory, cpu)
    more = _environment(environment)
    allowed = _timeout(timeout)
    with open_target() as (ledger, target):
        found = own_app(ledger, app, Permission.CONFIGURE)
        release = live_release(found.name, ledger)
        release = replace(release, config={**release.config, **more})
        asked = OneOff(
            name=new_name(),
            command=command_line(release.image, words),
            line=" ".join(words),
            user=actor(ledger).name,
            seconds=allowed,
            kept=not detach and by_buildpacks(release.image),
            terminal=None if detach else terminal_here(wanted=not no_tty),
            limits=limits,
        )
        if detach:
            _detach(target, release, asked, as_json=as_json)
            return
        code = attach(target, release, asked)
    sys.exit(code)


@command.command("list")
@app_option
@as_json
def list_(app: str | None, as_json: bool) -> None:
    """The app's one-off processes: those that run, and for a day those that were left to themselves.

    \b
    Example:
      gitreceive run list --app shop
    """
    with open_target() as (ledger, target):
        found = target.one_offs(own_app(ledger, app).name)
    if as_json:
        print_json([vars(status) for status in found])
        return
    print_table(
        ("name", "release", "state", "exit", "age", "user", "command"),
        [
            (
                s.name,
                f"v{s.release}",
                s.state,
                "" if s.exit_code is None else s.exit_code,
                age(s.started),
                s.user,
                s.reason or s.command[:60],
            )
            for s in found
        ],
        "No one-off process runs",
    )


@command.command("stop")
@click.argument("name", metavar="NAME")
@app_option
@as_json
def stop(name: str, app: str | None, as_json: bool) -> None:
    """End a one-off process and remove it, with its log.

    \b
    Example:
      gitreceive run stop run-x7k2p4
    """
    OneOff.parse_name(name)
    with open_target() as (ledger, target):
        found = own_app(ledger, app, Permission.CONFIGURE)
        if not target.remove_one_off(found.name, name):
            raise NotFoundError(f"{found.name} has no {name}", hint=f"gitreceive run list --app {found.name}")
        custody.release(config.load().data_dir, name)
    if as_json:
        print_json({"app": found.name, "name": name, "result": "stopped"})
    else:
        click.echo(f"{name} is gone", err=True)


def attach(target: "Target", release: Release, asked: OneOff) -> int:
    """Start it and stay with it until it ends; its exit code."""
    log = Voice(write if asked.terminal else lambda _output: None)
    log.step(f"Running {asked.line[:80]} on {release.app} {release.label} as {asked.name}")
    with (
        ending_in_order(),
        custody.held(config.load().data_dir, release.app, asked.name),
        target.attach(release, asked, log, Cancellation()) as attachment,
    ):
        return carry(attachment, asked.terminal)


def _detach(target: "Target", release: Release, asked: OneOff, *, as_json: bool) -> None:
    data_dir = config.load().data_dir
    custody.entrust(data_dir, release.app, asked)
    try:
        target.detach(release, asked, Voice(write), Cancellation())
    except BaseException:
        custody.release(data_dir, asked.name)
        raise
    if as_json:
        print_json({"app": release.app, "name": asked.name, "release": release.number})
    else:
        click.echo(asked.name)
        click.echo(f"gitreceive logs --app {release.app} --ps run, or run stop {asked.name}", err=True)


def _environment(pairs: tuple[str, ...]) -> dict[str, Secret]:
    """Raises UsageError, which says nothing of what may be a value."""
    values: dict[str, Secret] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError("--env has no '='", hint="write --env NAME=VALUE")
        parse_config_name(name)
        values[name] = Secret(value)
    return values


def _limits(size: str | None, memory: str | None, cpu: str | None) -> Limits:
    if size and memory:
        raise UsageError("--size and --memory say the same", hint="give one of them")
    asked = {"memory": memory or (_sized(size) if size else None), "cpu": cpu}
    return Limits.parse({name: value for name, value in asked.items() if value}, "what is asked for")


def _sized(size: str) -> str:
    settings = config.load()
    usual = (settings.kubernetes if settings.target == "kubernetes" else settings.docker).memory
    if usual[-1:] in _UNITS:
        usual = f"{usual[:-1]}{_UNITS[usual[-1]]}"
    bytes_ = Limits(memory=usual).memory_bytes or 0
    return str(bytes_ * _SIZES[size])


def _timeout(text: str) -> int:
    allowed = int(seconds(text) or 0)
    if not 1 <= allowed <= _LONGEST:
        raise UsageError("--timeout is from a second to seven days", hint="write 90s, 5m, 2h or 1d")
    return allowed
