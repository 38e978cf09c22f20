import sys

import click

from gitreceive.cli.attaching import carry, ending_in_order, terminal_here
from gitreceive.cli.common import app_option, open_target, own_app
from gitreceive.cli.instances import chosen
from gitreceive.model import Permission
from gitreceive.stories.one_offs import by_buildpacks, command_line
from gitreceive.stories.rollback import live_release


@click.command("exec", context_settings={"allow_interspersed_args": False})
@app_option
@click.option(
    "--ps",
    "instance",
    metavar="NAME",
    default="web",
    show_default=True,
    help="web, web.2, or a name of ps or run list.",
)
@click.option("--no-tty", is_flag=True, help="Three pipes, also where there is a terminal.")
@click.argument("words", metavar="CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(app: str | None, instance: str, no_tty: bool, words: tuple[str, ...]) -> None:
    """Run CMD inside a process's own container, while it serves: its files, its memory, its limits.

    Exit code, input and terminal as with run, which starts a container of its own and disturbs nobody.

    \b
    Examples:
      gitreceive exec -- ps aux
      ssh -t -p 2222 git@HOST exec --app shop --ps worker.1 bash
    """
    with open_target() as (ledger, target):
        found = own_app(ledger, app, Permission.CONFIGURE)
        image = live_release(found.name, ledger).image
        name = chosen(target, found.name, instance)
        terminal = terminal_here(wanted=not no_tty)
        line = command_line(image, words)
        with (
            ending_in_order(),
            target.enter(found.name, name, line, terminal, kept=by_buildpacks(image)) as attachment,
        ):
            code = carry(attachment, terminal)
    sys.exit(code)
