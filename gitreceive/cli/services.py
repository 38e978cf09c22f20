import sys
from collections.abc import Iterable, Sequence
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
from gitreceive.cli.provisioned import bound_by, create, destroy, info, kinds, without_secret
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
    """Databases and the like: bind, unbind, list what there is; create, destroy, info, kinds of what operators make.

    What is bound appears as config: by values that you give, or by a Secret in the app's namespace (Kubernetes). Where the cluster has
    operators for it, `services create` has one made and binds it.
    """


for _made in (create, destroy, info, kinds):
    command.add_command(_made)


@command.command("bind")
@click.argument("words", metavar="[APP] [NAME=VALUE...]", nargs=-1)
@app_option
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="NAME alone; its value is standard input, to the byte."
)
@click.option("--secret", metavar="SECRET", help="All that this Secret holds, as variables.")
@click.option("--prefix", metavar="PREFIX", default="", help="With --secret: in front of each name.")
@click.option(
    "--key",
    "keys",
    metavar="KEY=NAME",
    multiple=True,
    help="With --secret: this value of it alone, as this variable; several times.",
)
@as_json
def bind(
    words: tuple[str, ...],
    app: str | None,
    from_stdin: bool,
    secret: str | None,
    prefix: str,
    keys: tuple[str, ...],
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
      gitreceive services bind shop --secret shop-postgres --key uri=DATABASE_URL
    """
    if secret is not None:
        if from_stdin or (prefix and keys):
            ways = "--secret and --stdin" if from_stdin else "--prefix and --key"
            raise UsageError(f"{ways} are two ways", hint="use one of them")
        name, _ = addressed(words, app, 0)
        _bind_secret(name, parse_secret_name(secret), prefix, _keys(keys), as_json=as_json)
        return
    if prefix or keys:
        raise UsageError(
            f"{'--prefix' if prefix else '--key'} is for --secret alone", hint="write the whole names"
        )
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
        rows = [_row("value", [key], "set") for key in sorted(settings.services.bound) if key in there]
        rows += rows_of(target, found.name, settings)
    if as_json:
        print_json(rows)
        return
    columns = ("by", "service", "secret")
    shown = [
        (*(row[column] or "-" for column in columns), ", ".join(row["variables"]) or "-", row["state"])
        for row in rows
    ]
    empty = f"{name} is bound to nothing: gitreceive services bind {name} NAME=VALUE"
    print_table((*columns, "variables", "state"), shown, empty)


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


def _keys(typed_keys: Sequence[str]) -> dict[str, str]:
    """Keys of a Secret by the names of variables, as KEY=NAME was typed."""
    pairs = [typed_key.rpartition("=") for typed_key in typed_keys]
    for key, _, variable in pairs:
        if not key:
            raise UsageError(f"{variable[:60]!r} is not KEY=NAME", hint="write --key uri=DATABASE_URL")
    return {parse_config_name(variable): key for key, _, variable in pairs}


def _bind_secret(app: AppName, secret: str, prefix: str, keys: dict[str, str], *, as_json: bool) -> None:
    with open_platform() as platform:
        require_app(platform.ledger, app, Permission.CONFIGURE)
        there = platform.target.secret_names(app, secret)
        patch: dict[str, Any] = {"secrets": {secret: prefix}}
        if keys:
            _require_keys(secret, keys.values(), there)
            patch = {"secret_keys": {name: {"secret": secret, "key": key} for name, key in keys.items()}}
        else:
            require_names(secret, [prefix + key for key in there])
        wish = Wish(f"bind Secret {secret}", {"runtime": patch})
        change_settings(platform, app, lambda *_: wish, as_json=as_json)


def _require_keys(secret: str, keys: Iterable[str], there: Sequence[str]) -> None:
    for key in keys:
        if key not in there:
            raise NotFoundError(f"Secret {secret} has no {key[:60]!r}", hint=f"it has {', '.join(there)}")


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
        if secret not in settings.runtime.secrets and not bound_by(settings, secret):
            raise NotFoundError(
                f"{app} is not bound to a Secret {secret[:60]!r}", hint=f"gitreceive services list {app}"
            )
        return Wish(f"unbind Secret {secret}", without_secret(settings, secret))

    with open_platform() as platform:
        change_settings(platform, app, plan, as_json=as_json)


def _require_bound(platform: "Platform", app: AppName, names: Sequence[str]) -> None:
    if not names:
        raise UsageError("nothing is named", hint="name variables, or --secret SECRET")
    settings = platform.ledger.settings(app)
    for name in names:
        if name in settings.runtime.secret_keys:
            secret = settings.runtime.secret_keys[name].secret
            raise ConflictError(
                f"{name} comes from Secret {secret}",
                hint=f"gitreceive services unbind {app} --secret {secret}",
            )
        if name not in settings.services.bound:
            raise NotFoundError(
                f"{name[:60]!r} is not bound",
                hint=f"gitreceive services list {app}; config unset removes what is set",
            )


def rows_of(target: "Target", app: AppName, settings: AppSettings) -> list[dict[str, Any]]:
    """What comes from Secrets: whole ones, what operators made here, and single values of others."""
    rows = [
        secret_row(target, app, secret, prefix) for secret, prefix in sorted(settings.runtime.secrets.items())
    ]
    made = target.services(app)
    for status in made:
        variables = bound_by(settings, status.secret)
        state = status.state if variables else f"{status.state}, not bound"
        row = _row("service", variables, state, status.secret)
        rows.append({**row, "service": status.name, "kind": status.kind})
    others = {place.secret for place in settings.runtime.secret_keys.values()} - {
        each.secret for each in made
    }
    for secret in sorted(others):
        state = str(secret_row(target, app, secret, "")["state"])
        rows.append(_row("secret", bound_by(settings, secret), state, secret))
    return rows


def secret_row(target: "Target", app: AppName, secret: str, prefix: str) -> dict[str, Any]:
    try:
        names = target.secret_names(app, secret)
    except NotFoundError:
        return _row("secret", [], "missing", secret)
    return _row("secret", [prefix + key for key in names], "there", secret)


def _row(by: str, variables: list[str], state: str, secret: str | None = None) -> dict[str, Any]:
    return {
        "by": by,
        "service": None,
        "kind": None,
        "secret": secret,
        "variables": variables,
        "state": state,
    }
