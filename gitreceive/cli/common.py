"""What commands share: who acts, the ledger and the platform, tables and JSON."""

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gitreceive import acting, config
from gitreceive.access import LOCAL_ADMINISTRATOR, require
from gitreceive.cli import remote
from gitreceive.cli.revoked import ending_when_revoked
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.model import App, AppName, Permission, User
from gitreceive.sanitise import plain
from gitreceive.stories.revocation import user_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreceive.ports import Ledger, Platform, Target

_Command = TypeVar("_Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class Group(click.Group):
    """A group whose unknown commands are answered with the nearest that there is."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            raise UsageError(
                f"{args[0][:60]!r} is not a command of {ctx.command_path}", hint=self.suggest(ctx, args[0])
            )
        return super().resolve_command(ctx, args)

    def suggest(self, ctx: click.Context, word: str) -> str:
        near = difflib.get_close_matches(word, self.list_commands(ctx), n=1)
        return f"did you mean {ctx.command_path} {near[0]}?" if near else f"see: {ctx.command_path} --help"


def app_option(command: _Command) -> _Command:
    return click.option(
        "-a", "--app", "app", metavar="NAME", help="The app; else that of the git remote 'deploy'."
    )(command)


@contextmanager
def open_ledger(*, make: bool = False) -> "Iterator[Ledger]":
    """The server's ledger; ``make`` for commands that set a server up, and so may come before there is any.

    Raises NotFoundError where there is no server's data here.
    """
    from gitreceive import wiring

    settings = config.load()
    if not make and not remote.has_ledger(settings):
        raise NotFoundError(
            f"there is no server here: {settings.data_dir} has no ledger, and no git remote is called 'deploy'",
            hint="run it in a clone that has the remote, or as ssh -p 2222 git@HOST COMMAND",
        )
    ledger = wiring.ledger(settings)
    try:
        with ending_when_revoked(ledger):
            yield ledger
    finally:
        ledger.close()


@contextmanager
def open_target() -> "Iterator[tuple[Ledger, Target]]":
    from gitreceive import wiring

    with open_ledger() as ledger:
        yield ledger, wiring.target(config.load())


@contextmanager
def open_platform() -> "Iterator[Platform]":
    from gitreceive import wiring

    platform = wiring.platform(config.load())
    try:
        with ending_when_revoked(platform.ledger):
            yield platform
    finally:
        platform.registry.close()
        platform.ledger.close()


def actor(ledger: "Ledger") -> User:
    """Over SSH the user whose key or token it was; on the server's own host the administrator. Raises NotFoundError, ForbiddenError."""
    if config.acting_user() is None:
        return LOCAL_ADMINISTRATOR
    return user_of(acting.current().actor, ledger)


def own_app(ledger: "Ledger", given: str | None, permission: Permission = Permission.VIEW) -> App:
    """The app that is meant, else that of the git remote, with which the actor may do this. Raises NotFoundError, ForbiddenError, UsageError."""
    return require_app(ledger, remote.app_name(given), permission)


def require_app(ledger: "Ledger", name: AppName, permission: Permission) -> App:
    """The app, with which the actor may do this. It is what the command is recorded with. Raises NotFoundError, ForbiddenError."""
    act = acting.current()
    act.app = name
    app = ledger.app(name)
    require(permission, actor(ledger), app, ledger)
    act.needs.append((name, permission))
    return app


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, default=_plain))


def print_json_line(value: object) -> None:
    click.echo(json.dumps(value, default=_plain))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Aligned columns on stdout; ``empty`` on stderr where there are no rows. Reasons and names in it are other people's words."""
    body = [[plain(str(cell)) for cell in row] for row in rows]
    if not body:
        click.echo(empty, err=True)
        return
    widths = [max(len(row[i]) for row in [list(columns), *body]) for i in range(len(columns))]
    for row in [[c.upper() for c in columns], *body]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def age(moment: datetime) -> str:
    """How long ago, in one unit: 12s, 5m, 3h, 8d."""
    return duration((datetime.now(UTC) - moment).total_seconds())


def duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def byte_count(size: float) -> str:
    """Decimal units, as registries and shops count: 12.3 kB."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


_MOST_DIGITS = 6
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str | None) -> float | None:
    """``90``, ``90s``, ``5m``, ``2h``, ``1d``. Raises UsageError."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not number.isascii() or not number.isdigit() or len(number) > _MOST_DIGITS:
        raise UsageError(f"{text!r} is not a length of time", hint="write 90s, 5m, 2h or 1d")
    return float(int(number) * _UNITS[unit])


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
