import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gitreceive.cli.addressing import addressed
from gitreceive.cli.common import (
    Group,
    app_option,
    as_json,
    open_platform,
    open_target,
    own_app,
    print_json,
    print_table,
    require_app,
)
from gitreceive.cli.configs import carry_out as change_config
from gitreceive.cli.configs import one_from_stdin, typed
from gitreceive.cli.rollback import who_may
from gitreceive.cli.settings_changes import Wish, carry_out, change_settings
from gitreceive.cli.watching import write
from gitreceive.errors import ConflictError, NotFoundError, UsageError
from gitreceive.model import (
    AppName,
    AppSettings,
    ConfigChange,
    JobState,
    Permission,
    Release,
    parse_config_name,
    parse_secret_name,
)
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform, Target

_WELL = {str(JobState.LIVE), "kept", "unchanged"}


@click.group("services", cls=Group)
def command() -> None:
    """Databases and the like that run elsewhere: bind, unbind, list.

    What is bound appears as config: by values that you give, or by a Secret in the app's namespace (Kubernetes), which an operator of the
    cluster may have made.
    """


@command.command("bind")
@click.argument("words", metavar="[APP] [NAME=VALUE...]", nargs=-1)
@app_option
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="NAME alone; its value is standard input, to the byte."
)
@click.option("--secret", metavar="SECRET", help="All that this Secret holds, as variables.")
@click.option("--prefix", metavar="PREFIX", default="", help="With --secret: in front of each name.")
@as_json
def bind(
    words: tuple[str, ...],
    app: str | None,
    from_stdin: bool,
    secret: str | None,
    prefix: str,
    as_json: bool,
) -> None:
    """Give the app what it finds a service by. That is a release.

    Values are config like any other, kept with the releases, and marked as bound. A Secret stays where it is: processes read what is in it when
    they start, so after a change of it, `ps restart`. Where both have a name, the app's own config counts.

    \b
    Examples:
      gitreceive services bind DATABASE_URL=postgres://shop:pass@db.example.com/shop
      ssh -p 2222 git@HOST services bind shop DATABASE_URL --stdin < url
      gitreceive services bind shop --secret shop-postgres --prefix PG_
    """
    if secret is not None:
        if from_stdin:
            raise UsageError("--secret and --stdin are two ways", hint="use one of them")
        name, _ = addressed(words, app, 0)
        _bind_secret(name, parse_secret_name(secret), prefix, as_json=as_json)
        return
    if prefix:
        raise UsageError("--prefix is for --secret alone", hint="write the whole names")
    name, rest = _named(words, app, stdin=from_stdin)
    values = one_from_stdin(rest) if from_stdin else typed(rest)
    for key in values:
        parse_config_name(key)
    with open_platform() as platform:
        change = ConfigChange(name, who_may(platform, name, Permission.CONFIGURE).name, values, ())
        marks: dict[str, bool | None] = dict.fromkeys(values, True)
        facts = _changed(platform, change, marks, f"bind {', '.join(values)}", log=not as_json)
    _tell(facts, as_json=as_json)


@command.command("unbind")
@click.argument("words", metavar="[APP] [NAME...]", nargs=-1)
@app_option
@click.option("--secret", metavar="SECRET", help="This Secret. It stays where it is.")
@as_json
def unbind(words: tuple[str, ...], app: str | None, secret: str | None, as_json: bool) -> None:
    """Take from the app what it was bound by. That is a release; the service itself is left alone.

    Of several words the first is the app; with --app, all are variables.

    \b
    Examples:
      gitreceive services unbind shop DATABASE_URL
      gitreceive services unbind shop --secret shop-postgres
    """
    if secret is not None:
        name, _ = addressed(words, app, 0)
        _unbind_secret(name, secret, as_json=as_json)
        return
    names_app = app is None and len(words) > 1
    name, _ = addressed(words[:1] if names_app else (), app, 0)
    rest = tuple(dict.fromkeys(words[1:] if names_app else words))
    with open_platform() as platform:
        who = who_may(platform, name, Permission.CONFIGURE).name
        _require_bound(platform, name, rest)
        there = platform.ledger.config(name)
        change = ConfigChange(name, who, {}, tuple(key for key in rest if key in there))
        marks: dict[str, bool | None] = dict.fromkeys(rest, None)
        facts = _changed(platform, change, marks, f"unbind {', '.join(rest)}", log=not as_json)
    _tell(facts, as_json=as_json)


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def list_(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """What the app is bound to, by the names of its variables; values are for `config get`.

    \b
    Example:
      gitreceive services list shop
    """
    name, _ = addressed(words, app, 0)
    with open_target() as (ledger, target):
        found = own_app(ledger, name)
        settings, there = ledger.settings(found.name), ledger.config(found.name)
        rows: list[dict[str, Any]] = [
            {"by": "value", "secret": None, "variables": [key], "state": "set"}
            for key in sorted(settings.services.bound)
            if key in there
        ]
        secrets = sorted(settings.runtime.secrets.items())
        rows += [secret_row(target, name, secret, prefix) for secret, prefix in secrets]
    if as_json:
        print_json(rows)
        return
    shown = [
        (row["by"], row["secret"] or "-", ", ".join(row["variables"]) or "-", row["state"]) for row in rows
    ]
    empty = f"{name} is bound to nothing: gitreceive services bind {name} NAME=VALUE"
    print_table(("by", "secret", "variables", "state"), shown, empty)


def _named(words: Sequence[str], app: str | None, *, stdin: bool) -> tuple[AppName, tuple[str, ...]]:
    """The app, and what is bound: the first word is the app where it is no NAME=VALUE, or no only NAME behind --stdin."""
    first = len(words) > 1 if stdin else bool(words) and "=" not in words[0]
    names_app = app is None and first
    name, _ = addressed(words[:1] if names_app else (), app, 0)
    rest = tuple(words[1:] if names_app else words)
    if not rest:
        raise UsageError("nothing is named", hint="write NAME=VALUE, NAME --stdin, or --secret SECRET")
    return name, rest


def _changed(
    platform: "Platform", change: ConfigChange, marks: dict[str, bool | None], title: str, *, log: bool
) -> dict[str, Any]:
    """The values first: what is marked and not there would be a lie, what is there and not marked works. Done again, it is marked."""
    job, result = change_config(platform, change, log=log)
    marked = result
    if result in _WELL:
        patch = {"services": {"bound": marks}}
        done = carry_out(platform, change.app, lambda *_: Wish(title, patch), log=log)
        marked = str(done.facts()["result"])
    return {
        "app": change.app,
        "result": marked if result == "unchanged" or marked not in _WELL else result,
        "title": title,
        "release": job.release if job else None,
        "build": job.id if job else None,
        "reason": job.reason if job else "",
    }


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    """Exit 1 where it was not done."""
    if as_json:
        print_json(facts)
    elif facts["result"] == "kept":
        Voice(write).step(f"Kept for the first release of {facts['app']}: {facts['title']}")
    elif facts["result"] == "unchanged":
        Voice(write).step(f"Nothing to do: {facts['app']} is bound so already")
    if facts["result"] not in _WELL:
        sys.exit(1)


def _bind_secret(app: AppName, secret: str, prefix: str, *, as_json: bool) -> None:
    with open_platform() as platform:
        require_app(platform.ledger, app, Permission.CONFIGURE)
        require_names(secret, [prefix + key for key in platform.target.secret_names(app, secret)])
        wish = Wish(f"bind Secret {secret}", {"runtime": {"secrets": {secret: prefix}}})
        change_settings(platform, app, lambda *_: wish, as_json=as_json)


def require_names(secret: str, names: Sequence[str]) -> None:
    """A cluster leaves out what cannot name a variable (Kubernetes, EnvFromSource): say so, and refuse where nothing is left."""
    left_out = [name for name in names if not _names_variable(name)]
    if len(left_out) == len(names):
        raise ConflictError(
            f"nothing in Secret {secret} can name a variable",
            hint="its keys become names: letters, digits and underscores",
        )
    if left_out:
        Voice(write).warn(f"what cannot name a variable is left out: {', '.join(left_out)}")


def _names_variable(name: str) -> bool:
    try:
        parse_config_name(name)
    except UsageError:
        return False
    return True


def _unbind_secret(app: AppName, secret: str, *, as_json: bool) -> None:
    def plan(settings: AppSettings, _live: Release | None) -> Wish:
        if secret not in settings.runtime.secrets:
            raise NotFoundError(
                f"{app} is not bound to a Secret {secret[:60]!r}", hint=f"gitreceive services list {app}"
            )
        return Wish(f"unbind Secret {secret}", {"runtime": {"secrets": {secret: None}}})

    with open_platform() as platform:
        change_settings(platform, app, plan, as_json=as_json)


def _require_bound(platform: "Platform", app: AppName, names: Sequence[str]) -> None:
    if not names:
        raise UsageError("nothing is named", hint="name variables, or --secret SECRET")
    bound = platform.ledger.settings(app).services.bound
    for name in names:
        if name not in bound:
            raise NotFoundError(
                f"{name[:60]!r} is not bound",
                hint=f"gitreceive services list {app}; config unset removes what is set",
            )


def secret_row(target: "Target", app: AppName, secret: str, prefix: str) -> dict[str, Any]:
    row = {"by": "secret", "secret": secret, "variables": [], "state": "there"}
    try:
        return {**row, "variables": [prefix + key for key in target.secret_names(app, secret)]}
    except NotFoundError:
        return {**row, "state": "missing"}
