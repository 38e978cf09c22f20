import sys

import click

from gitreceive.cli import remote
from gitreceive.cli.common import Group, app_option, as_json, open_ledger, open_platform, own_app, print_json
from gitreceive.cli.settings_changes import Wish, change_settings
from gitreceive.errors import UsageError
from gitreceive.model import LARGEST_PAGE, AppSettings, Permission, Release
from gitreceive.ports import StackLedger


@click.group("maintenance", cls=Group)
def command() -> None:
    """A page in place of the app: on, off, info. The app's processes run on."""


@command.command("on")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@click.option("--page", is_flag=True, help="Standard input is the page, as HTML.")
@as_json
def on(name: str | None, app: str | None, page: bool, as_json: bool) -> None:
    """Answer every request with 503 and a page. Pushes go live behind it, and it stays on.

    \b
    Examples:
      gitreceive maintenance on shop
      ssh -p 2222 git@HOST maintenance on shop --page < page.html
    """
    shown = _standard_input() if page else ""

    def plan(_settings: AppSettings, _live: Release | None) -> Wish:
        image = _image(platform.ledger, platform.stack)
        return Wish("maintenance on", {"maintenance": {"on": True, "page": shown, "image": image}})

    with open_platform() as platform:
        change_settings(
            platform, remote.app_name(name or app), plan, as_json=as_json, permission=Permission.OPERATE
        )


@command.command("off")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@as_json
def off(name: str | None, app: str | None, as_json: bool) -> None:
    """Lead visitors to the app again.

    \b
    Example:
      gitreceive maintenance off shop
    """
    wish = Wish("maintenance off", {"maintenance": None})
    with open_platform() as platform:
        change_settings(
            platform,
            remote.app_name(name or app),
            lambda _settings, _live: wish,
            as_json=as_json,
            permission=Permission.OPERATE,
        )


@command.command("info")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@as_json
def info(name: str | None, app: str | None, as_json: bool) -> None:
    """Whether it is on.

    \b
    Example:
      gitreceive maintenance info shop
    """
    with open_ledger() as ledger:
        found = own_app(ledger, name or app)
        maintenance = ledger.settings(found.name).maintenance
    if as_json:
        print_json({"app": found.name, "on": maintenance.on, "page": maintenance.page or None})
    else:
        click.echo("on" if maintenance.on else "off")


def _standard_input() -> str:
    content = sys.stdin.buffer.read(LARGEST_PAGE + 1)
    if len(content) > LARGEST_PAGE:
        raise UsageError(
            f"the page has more than {LARGEST_PAGE} bytes",
            hint="leave images where they are: it may link to them",
        )
    try:
        page = content.decode()
    except UnicodeDecodeError:
        raise UsageError("the page is not UTF-8", hint="encode it so") from None
    if not page.strip() or "\0" in page:
        raise UsageError("standard input is no page", hint="maintenance on APP --page < page.html")
    return page


def _image(stacks: StackLedger, name: str) -> str:
    """What has Python, for targets that need a process that shows the page: the stack's run image."""
    stack = stacks.stack(name)
    return str(stack.run) if stack else ""
