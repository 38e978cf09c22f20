import click

from gitreceive.access import check_admin
from gitreceive.cli.common import (
    Group,
    actor,
    app_option,
    as_json,
    open_ledger,
    own_app,
    print_json,
    print_table,
)
from gitreceive.errors import UsageError
from gitreceive.model import AppName, Limits, Quota, QuotaKind, UserName, shown_bytes

_MOST = 10**6


@click.group("quotas", cls=Group)
def command() -> None:
    """How much an app, a user or a team may have at once: set, list.

    What is under a user's quota are the apps that they own; under a team's, those that its members own, and the pushes of its members.
    """


@command.command("set")
@click.option("-a", "--app", metavar="APP", help="Of an app.")
@click.option("--user", metavar="USER", help="Of a user.")
@click.option("--team", metavar="TEAM", help="Of a team.")
@click.option("--builds", metavar="N", help="Pushes that are worked on at once; others wait.")
@click.option("--memory", metavar="SIZE", help="Memory of all processes together, as 512Mi or 8Gi.")
@click.option("--replicas", metavar="N", help="Processes, all types together.")
@as_json
def set_(
    app: str | None,
    user: str | None,
    team: str | None,
    builds: str | None,
    memory: str | None,
    replicas: str | None,
    as_json: bool,
) -> None:
    """Set quotas; one that is not named stays, and "none" takes it away. For administrators.

    What is there already stays as it is: a quota is looked at when somebody wants more.

    \b
    Examples:
      gitreceive quotas set --team web --builds 2 --memory 16Gi --replicas 40
      gitreceive quotas set --app shop --replicas none
    """
    kind, name = _whose(app, user, team)
    with open_ledger() as ledger:
        check_admin(actor(ledger), "set quotas")
        known = {(quota.kind, quota.name): quota for quota in ledger.quotas()}
        before = known.get((kind, name), Quota(kind, name))
        quota = Quota(
            kind,
            name,
            builds=before.builds if builds is None else _number(builds, "--builds"),
            memory=before.memory if memory is None else _bytes(memory),
            replicas=before.replicas if replicas is None else _number(replicas, "--replicas"),
        )
        ledger.set_quota(quota)
    if as_json:
        print_json(_facts(quota))
    else:
        click.echo(f"-----> {quota.label}: {_said(quota)}", err=True)


@command.command("list")
@app_option
@as_json
def list_(app: str | None, as_json: bool) -> None:
    """All quotas, for administrators; with --app those that hold for an app, for all who may see it.

    \b
    Example:
      gitreceive quotas list --app shop
    """
    with open_ledger() as ledger:
        if app is None:
            check_admin(actor(ledger), "see all quotas")
            quotas = ledger.quotas()
        else:
            quotas = tuple(quota for quota, _ in ledger.quotas_of(own_app(ledger, app).name))
    if as_json:
        print_json([_facts(quota) for quota in quotas])
        return
    print_table(
        ("of", "builds", "memory", "replicas"),
        [
            (
                quota.label,
                _shown(quota.builds),
                "-" if quota.memory is None else shown_bytes(quota.memory),
                _shown(quota.replicas),
            )
            for quota in quotas
        ],
        "There are no quotas: gitreceive quotas set",
    )


def _whose(app: str | None, user: str | None, team: str | None) -> tuple[QuotaKind, str]:
    named = [word for word in (app, user, team) if word is not None]
    if len(named) != 1:
        raise UsageError(
            "one of --app, --user and --team is wanted", hint="write: quotas set --team web --builds 2"
        )
    if app is not None:
        return QuotaKind.APP, AppName.parse(app)
    return (QuotaKind.USER if user is not None else QuotaKind.TEAM), UserName.parse(named[0])


def _number(text: str, option: str) -> int | None:
    if text == "none":
        return None
    if not text.isascii() or not text.isdigit() or int(text[:10]) > _MOST or len(text) > 10:
        raise UsageError(f"{option} {text[:20]!r} is no quota", hint=f"write a number up to {_MOST}, or none")
    return int(text)


def _bytes(text: str) -> int | None:
    return None if text == "none" else Limits(memory=text).memory_bytes


def _shown(number: int | None) -> str:
    return "-" if number is None else str(number)


def _said(quota: Quota) -> str:
    memory = None if quota.memory is None else shown_bytes(quota.memory)
    parts = (("builds", quota.builds), ("memory", memory), ("replicas", quota.replicas))
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None) or "no quota"


def _facts(quota: Quota) -> dict[str, object]:
    return vars(quota)
