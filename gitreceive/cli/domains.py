import click

from gitreceive import config
from gitreceive.cli import remote
from gitreceive.cli.common import (
    Group,
    app_option,
    as_json,
    open_ledger,
    open_platform,
    own_app,
    print_json,
    print_table,
)
from gitreceive.cli.settings_changes import Wish, change_settings
from gitreceive.errors import ConflictError, NotFoundError, UsageError
from gitreceive.manifests.exposure import require_hosts
from gitreceive.model import AppName, AppSettings, Domain, Permission, Release, Routing

_words = click.argument("words", metavar="[APP] HOST...", nargs=-1, required=True)


@click.group("domains", cls=Group)
def command() -> None:
    """The hosts at which an app answers: add, remove, list, https. The processes run on as they are."""


@command.command("add")
@_words
@app_option
@as_json
def add(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Lead HOST to the app too: shop.example.com, or *.shop.example.com for each name one label below it.

    A host is one app's alone. The DNS has to lead it to this server, or to the cluster.

    \b
    Example:
      gitreceive domains add shop shop.example.com www.shop.example.com
    """
    name, hosts = _named(words, app)
    require_hosts(config.load())
    for host in hosts:
        _require_free(host, name)
    wish = Wish(f"domains add {_some(hosts)}", {"routing": {"domains": {host: {} for host in hosts}}})
    with open_platform() as platform:
        change_settings(
            platform, name, lambda _settings, _live: wish, as_json=as_json, permission=Permission.OPERATE
        )


@command.command("remove")
@_words
@app_option
@as_json
def remove(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Lead HOST to the app no more.

    \b
    Example:
      gitreceive domains remove shop www.shop.example.com
    """
    name, hosts = _named(words, app)

    def plan(settings: AppSettings, _live: Release | None) -> Wish:
        for host in hosts:
            if host not in settings.routing.domains:
                raise NotFoundError(f"{host} is no domain of {name}", hint=f"gitreceive domains list {name}")
        patch = {"routing": {"domains": dict.fromkeys(hosts)}}
        return Wish(f"domains remove {_some(hosts)}", patch)

    with open_platform() as platform:
        change_settings(platform, name, plan, as_json=as_json, permission=Permission.OPERATE)


@command.command("list")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@as_json
def list_(name: str | None, app: str | None, as_json: bool) -> None:
    """All hosts of the app, the one that the server gives it first.

    \b
    Example:
      gitreceive domains list shop
    """
    with open_ledger() as ledger:
        found = own_app(ledger, name or app)
        routing = ledger.settings(found.name).routing
    rows = _rows(found.name, routing)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("host", "certificate", "plain requests"),
        [(row["host"], row["certificate"] or "-", row["plain"]) for row in rows],
        f"{found.name} has no host: gitreceive domains add {found.name} HOST",
    )


@command.command("https")
@click.argument("words", metavar="[APP] on|off", nargs=-1, required=True)
@app_option
@as_json
def https(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Send plain requests on to HTTPS, or serve them. On Docker, those to hosts that have a certificate.

    \b
    Example:
      gitreceive domains https shop on
    """
    switch = words[-1]
    if switch not in {"on", "off"} or len(words) > 2:
        raise UsageError("say on or off", hint="gitreceive domains https APP on")
    wish = Wish(f"domains https {switch}", {"routing": {"https": switch == "on"}})
    name = remote.app_name(words[0] if len(words) == 2 else app)
    with open_platform() as platform:
        change_settings(
            platform, name, lambda _settings, _live: wish, as_json=as_json, permission=Permission.OPERATE
        )


def _named(words: tuple[str, ...], app: str | None) -> tuple[AppName, tuple[Domain, ...]]:
    """An app has no dot in its name, and every domain has one; who names an app means it. Raises UsageError."""
    if "." not in words[0]:
        app, words = words[0], words[1:]
    if not words:
        raise UsageError("no domain is named", hint="gitreceive domains add APP shop.example.com")
    return remote.app_name(app), tuple(dict.fromkeys(Domain.parse(word) for word in words))


def _require_free(host: Domain, app: AppName) -> None:
    """Below the server's own domain every app has its name, made or yet to be made."""
    domain = config.load().domain
    if not domain or host == f"{app}.{domain}":
        return
    if host in {domain, f"*.{domain}"} or host.above == f"*.{domain}":
        raise ConflictError(
            f"names right below {domain} are those of apps", hint="an app answers there by its own name"
        )


def _rows(app: AppName, routing: Routing) -> list[dict[str, str | None]]:
    rows: list[dict[str, str | None]] = []
    settings = config.load()
    for host in routing.hosts(app, settings.domain):
        fingerprint = routing.certificate_for(host)
        certificate = fingerprint[:12] if fingerprint else "automatic" if routing.auto else None
        # the server's own door sends nobody to where nobody would answer; a cluster's controller has a certificate of its own
        secure = certificate is not None or settings.target == "kubernetes"
        plain = "sent on to HTTPS" if routing.https and secure else "served"
        rows.append({"host": host, "certificate": certificate, "plain": plain})
    return rows


def _some(hosts: tuple[Domain, ...]) -> str:
    return ", ".join(hosts[:3]) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")
