"""The verbs of ``services`` for what the cluster's own operators make."""

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from gitreceive.cancellation import Cancellation
from gitreceive.cli.addressing import addressed
from gitreceive.cli.common import (
    actor,
    age,
    app_option,
    as_json,
    open_platform,
    open_target,
    own_app,
    print_json,
    print_table,
    require_app,
)
from gitreceive.cli.recording import more_changed
from gitreceive.cli.settings_changes import Done, Wish, carry_out
from gitreceive.cli.watching import write
from gitreceive.errors import ConflictError, NotFoundError, UsageError
from gitreceive.model import (
    AppName,
    AppSettings,
    KindStatus,
    Permission,
    SecretKey,
    ServiceOrder,
    ServiceStatus,
    parse_config_name,
    parse_service_name,
    parse_service_size,
    parse_service_version,
)
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform, Target


@click.command("create")
@click.argument("words", metavar="[APP] KIND NAME", nargs=-1, required=True)
@app_option
@click.option("--size", help="How much it can store: 500Mi, 10Gi.  [default: its kind's, or as it is]")
@click.option("--version", help="Of the database or the like: 16.  [default: its kind's, or as it is]")
@click.option("--prefix", metavar="PREFIX", help="In front of the names of its variables.  [default: none]")
@as_json
def create(
    words: tuple[str, ...],
    app: str | None,
    size: str | None,
    version: str | None,
    prefix: str | None,
    as_json: bool,
) -> None:
    """Have a database or the like made by an operator of the cluster, and bind the app to it: that is a release.

    KIND is one of `services kinds`. It waits until the service is ready, and tells what its operator says. Ctrl-C leaves it alone: the same
    command goes on with what is there, and binds it. With another --size or --version it is changed, as far as its operator does that.

    \b
    Examples:
      gitreceive services create postgresql db
      gitreceive services create shop postgresql reports --size 20Gi --version 16 --prefix REPORTS_
    """
    if len(words) < 2:
        raise UsageError(
            "a kind and a name are needed",
            hint="as in: gitreceive services create postgresql db; there are: gitreceive services kinds",
        )
    name, (kind, service) = addressed(words, app, 2, what="words")
    order = ServiceOrder(
        kind,
        parse_service_name(service),
        parse_service_size(size) if size else None,
        parse_service_version(version) if version else None,
    )
    with open_platform() as platform:
        status, done = make(platform, name, order, prefix, log=not as_json)
    if as_json:
        print_json({**done.facts(), "service": facts(status, done.after)})
    done.tell()


@click.command("destroy")
@click.argument("words", metavar="[APP] NAME", nargs=-1, required=True)
@app_option
@click.option("--confirm", metavar="NAME", help="The service's name once more, for scripts.")
@as_json
def destroy(words: tuple[str, ...], app: str | None, confirm: str | None, as_json: bool) -> None:
    """Unbind a service that `services create` made, and remove it with what is stored in it. No rollback brings it back.

    Without --confirm, it says what would go.

    \b
    Example:
      gitreceive services destroy shop db --confirm db
    """
    name, (service,) = addressed(words, app, 1, what="services")
    with open_platform() as platform:
        require_app(platform.ledger, name, Permission.OPERATE).require_unlocked()
        _confirm(name, there(platform.target, name, service), confirm)
        done, gone = unmake(platform, name, service, log=not as_json)
    if as_json:
        print_json({**done.facts(), "service": service, "destroyed": gone})
    elif gone:
        Voice(write).step(f"Service {service} of {name} is gone, with what was stored in it")
    if not done.well:
        sys.exit(1)


@click.command("info")
@click.argument("words", metavar="[APP] NAME", nargs=-1, required=True)
@app_option
@as_json
def info(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """How a service is that `services create` made: in its operator's own words, and by which variables the app finds it.

    \b
    Example:
      gitreceive services info shop db
    """
    name, (service,) = addressed(words, app, 1, what="services")
    with open_target() as (ledger, target):
        found = own_app(ledger, name)
        told = facts(there(target, found.name, service), ledger.settings(found.name))
    if as_json:
        print_json(told)
        return
    for key, value in told.items():
        click.echo(f"{key:12} {', '.join(value) if isinstance(value, list) else value}".rstrip() or "-")


@click.command("kinds")
@as_json
def kinds(as_json: bool) -> None:
    """What this cluster can make for apps, by the operators that it has, and what the others lack.

    \b
    Example:
      gitreceive services kinds
    """
    with open_target() as (ledger, target):
        actor(ledger)
        found = target.service_kinds()
    if as_json:
        print_json([_kind_facts(status) for status in found])
        return
    shown = [
        (
            each.kind.name,
            each.kind.title,
            ", ".join(each.kind.variables),
            each.why or f"by {each.kind.operator}",
        )
        for each in found
    ]
    print_table(("kind", "what", "variables", "here"), shown, "No kinds of services are declared")


# --- what they do ---------------------------------------------------------------------------------------------------


def make(
    platform: "Platform", app: AppName, order: ServiceOrder, prefix: str | None, *, log: bool
) -> tuple[ServiceStatus, Done]:
    """As the operator has made it, and what became of binding it. Exit 130 where somebody stops waiting. Raises as ``Provisions.provision``
    does, and ConflictError where a variable has another meaning.
    """
    require_app(platform.ledger, app, Permission.OPERATE).require_unlocked()
    for status in platform.target.service_kinds():
        if status.kind.name == order.kind and not status.why:
            keys = _keys(platform, app, status.kind.keys(order.name), prefix)
            break
    else:
        keys = {}  # refused below, with the reason
    voice = Voice(write if log else lambda _output: None)
    try:
        made = platform.target.provision(app, order, voice, Cancellation())
    except KeyboardInterrupt:
        voice.step(
            f"Not waiting any more: {order.name} is being made. The same command waits again, and binds it"
        )
        sys.exit(130)
    patch = {"runtime": {"secret_keys": {name: place.document() for name, place in keys.items()}}}
    wish = Wish(f"bind service {order.name}", patch)
    done = carry_out(platform, app, lambda *_: wish, log=log, permission=Permission.OPERATE)
    more_changed()
    return made, done


def unmake(platform: "Platform", app: AppName, service: str, *, log: bool) -> tuple[Done, bool]:
    """Unbound first: nothing that runs is left without what it stands on. False where that did not work, and the service stays."""
    secret = there(platform.target, app, service).secret
    done = carry_out(
        platform,
        app,
        lambda settings, _live: Wish(f"unbind service {service}", without_secret(settings, secret)),
        log=log,
        permission=Permission.OPERATE,
    )
    if not done.well:
        return done, False
    gone = platform.target.remove_service(app, service, Voice(write if log else lambda _output: None))
    more_changed()
    return done, gone


def there(target: "Target", app: AppName, service: str) -> ServiceStatus:
    """Raises NotFoundError."""
    for status in target.services(app):
        if status.name == service:
            return status
    raise NotFoundError(
        f"{app} has no service {service[:60]!r} that was made here", hint=f"gitreceive services list {app}"
    )


def without_secret(settings: AppSettings, secret: str) -> dict[str, Any]:
    """The patch of settings after which nothing is bound to the Secret."""
    runtime = settings.runtime
    keys = {name: None for name, place in runtime.secret_keys.items() if place.secret == secret}
    whole = {secret: None} if secret in runtime.secrets else {}
    return {"runtime": {"secrets": whole, "secret_keys": keys}}


def described(services: Iterable[ServiceStatus]) -> str:
    """For who is asked whether they may go."""
    return ", ".join(f"{each.name} ({each.title})" for each in services)


def facts(status: ServiceStatus, settings: AppSettings) -> dict[str, Any]:
    """For programs, and as rows for people."""
    return {
        "name": status.name,
        "kind": status.kind,
        "what": status.title,
        "state": status.state,
        "says": status.says,
        "size": status.size,
        "version": status.version,
        "secret": status.secret,
        "variables": bound_by(settings, status.secret),
        "made": f"{age(status.since)} ago" if status.since else "",
    }


def bound_by(settings: AppSettings, secret: str) -> list[str]:
    """The variables that come of single keys of the Secret."""
    return sorted(name for name, place in settings.runtime.secret_keys.items() if place.secret == secret)


def _keys(
    platform: "Platform", app: AppName, own: Mapping[str, SecretKey], prefix: str | None
) -> Mapping[str, SecretKey]:
    """By which variables it is found: as it is bound already where no prefix is said."""
    there = platform.ledger.settings(app).runtime.secret_keys
    secrets = {place.secret for place in own.values()}
    before = {name: place for name, place in there.items() if place.secret in secrets}
    if before and prefix is None:
        return before
    keys = {parse_config_name((prefix or "") + name): place for name, place in own.items()}
    config = platform.ledger.config(app)
    for name, place in keys.items():
        taken = f"comes from Secret {there[name].secret}" if there.get(name, place) != place else ""
        if name in config:
            taken = "is in the app's config, which counts before it"
        if taken:
            raise ConflictError(
                f"{name} {taken}",
                hint=f"give the new one other names: --prefix, as in --prefix SECOND_ for SECOND_{name}",
            )
    return keys


def _confirm(app: AppName, status: ServiceStatus, given: str | None) -> None:
    what = f"{status.title} {status.name} of {app}, with what is stored in it ({status.size or 'nobody knows how much'})"
    if given is None and sys.stdin.isatty():
        given = click.prompt(f" !     This removes {what}. Type its name to go on", err=True)
    if given != status.name:
        raise UsageError(
            f"service {status.name} was not removed. It would go: {what}", hint=f"add --confirm {status.name}"
        )


def _kind_facts(status: KindStatus) -> dict[str, Any]:
    kind = status.kind
    return {
        "kind": kind.name,
        "what": kind.title,
        "operator": kind.operator,
        "install": kind.install,
        "api": kind.api,
        "variables": list(kind.variables),
        "size": kind.size,
        "version": kind.version,
        "available": not status.why,
        "why": status.why,
    }
