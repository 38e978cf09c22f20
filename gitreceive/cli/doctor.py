import sys
from collections.abc import Callable, Iterable, Iterator

import click

from gitreceive import config, wiring
from gitreceive.access import check_admin
from gitreceive.cli.common import actor, as_json, open_ledger, print_json
from gitreceive.errors import GitreceiveError
from gitreceive.model import Check


@click.command("doctor")
@as_json
def command(as_json: bool) -> None:
    """Look at git, Docker, the registry, the target, the stack and the disk; each failure comes with its fix.

    Exit 0: all is well; 1: something is not. Over SSH it answers administrators.

    \b
    Examples:
      gitreceive doctor
      gitreceive doctor --json | jq '.[] | select(.ok | not)'
    """
    if config.acting_user() is not None:
        with open_ledger() as ledger:
            check_admin(actor(ledger), "ask how the server is")
    checks = []
    for check in _checks(config.load()):
        checks.append(check)
        if not as_json:
            _tell(check)
    if as_json:
        print_json([vars(check) for check in checks])
    if not all(check.ok for check in checks):
        sys.exit(1)


def _checks(settings: config.Settings) -> Iterator[Check]:
    """Every part, each on its own: one that cannot even be asked is a finding, not the end.

    Several parts stand on Docker and on the ledger: what they find alike, or fail by for the same reason, is told once.
    """
    told: set[str] = set()
    for name, ask in wiring.checks(settings):
        for check in _answers(name, ask):
            word = f"{check.name}: {check.seen}" if check.ok else check.seen
            if word not in told:
                yield check
            told.add(word)


def _answers(name: str, ask: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    try:
        yield from ask()
    except GitreceiveError as error:
        yield Check(name, ok=False, seen=error.message, fix=error.hint)


def _tell(check: Check) -> None:
    click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.seen}")
    if not check.ok and check.fix:
        click.echo(f"      fix: {check.fix}")
