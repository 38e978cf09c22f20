import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitreceive import config
from gitreceive.certificates import LARGEST, SOON, read_certificate
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
from gitreceive.cli.rollback import who_may
from gitreceive.cli.settings_changes import Wish, change_settings
from gitreceive.cli.watching import write
from gitreceive.errors import ConfigError, NotFoundError, UsageError
from gitreceive.model import AppName, AppSettings, Certificate, Domain, Permission, Release, Routing
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform

_TOO_LARGE = f"a chain and a key have less than {LARGEST} bytes"


@click.group("certs", cls=Group)
def command() -> None:
    """Certificates for HTTPS: add, remove, list, auto. The processes run on as they are; no command shows a key."""


@command.command("add")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@click.option(
    "--cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The chain, on this host.  [default: standard input]",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The private key, on this host.  [default: with the chain]",
)
@as_json
def add(name: str | None, app: str | None, cert: Path | None, key: Path | None, as_json: bool) -> None:
    """Serve HTTPS with a certificate of your own: PEM, itself first, then those that issued it, and its private key.

    One that is for the same hosts, or fewer, is replaced, as at a renewal.

    \b
    Examples:
      cat chain.pem key.pem | ssh -p 2222 git@HOST certs add shop
      gitreceive certs add shop --cert chain.pem --key key.pem
    """
    if (cert or key) and config.acting_user() is not None:
        raise UsageError("no files of yours are there", hint="cat chain.pem key.pem | ssh … certs add APP")
    given = _file(cert) if cert else _standard_input()
    brought = read_certificate(given + (_file(key) if key else ""), datetime.now(UTC))
    app_name = remote.app_name(name or app)
    with open_platform() as platform:
        _warn(platform, app_name, brought)
        platform.ledger.keep_certificate(app_name, brought)
        _change(platform, app_name, lambda settings, _live: _renewed(settings.routing, brought), as_json)


@command.command("remove")
@click.argument("words", metavar="[APP] FINGERPRINT", nargs=-1, required=True)
@app_option
@as_json
def remove(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Serve no more with a certificate, and forget its key. The first digits of its fingerprint will do.

    \b
    Example:
      gitreceive certs remove shop 3f1c0a
    """
    if len(words) > 2:
        raise UsageError(
            "one certificate is removed at a time", hint="gitreceive certs remove APP FINGERPRINT"
        )
    name = remote.app_name(words[0] if len(words) == 2 else app)

    def plan(settings: AppSettings, _live: Release | None) -> Wish:
        found = [each for each in settings.routing.certificates if each.startswith(words[-1].lower())]
        if len(found) != 1:
            seen = "no certificate" if not found else f"{len(found)} certificates"
            raise NotFoundError(f"{name} has {seen} {words[-1][:64]!r}", hint=f"gitreceive certs list {name}")
        return Wish(f"certs remove {found[0][:12]}", {"routing": {"certificates": {found[0]: None}}})

    with open_platform() as platform:
        _change(platform, name, plan, as_json)


@command.command("list")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@as_json
def list_(name: str | None, app: str | None, as_json: bool) -> None:
    """The app's certificates, for which hosts they are and how many days they have left.

    \b
    Example:
      gitreceive certs list shop
    """
    with open_ledger() as ledger:
        found = own_app(ledger, name or app)
        routing = ledger.settings(found.name).routing
    now = datetime.now(UTC)
    rows = [
        {
            "fingerprint": fingerprint,
            "hosts": list(facts.hosts),
            "expires": facts.expires,
            "days_left": facts.days_left(now),
            "soon": facts.expires - now < SOON,
        }
        for fingerprint, facts in routing.certificates.items()
    ]
    if as_json:
        print_json({"auto": routing.auto, "certificates": rows})
        return
    if routing.auto:
        click.echo("The cluster obtains certificates for hosts that have none here.", err=True)
    print_table(
        ("fingerprint", "hosts", "days left"),
        [(str(row["fingerprint"])[:12], ", ".join(_hosts(row)), _days(row)) for row in rows],
        f"{found.name} has no certificate of its own: gitreceive certs add {found.name}",
    )


@command.command("auto")
@click.argument("words", metavar="[APP] on|off", nargs=-1, required=True)
@app_option
@as_json
def auto(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Let the cluster's cert-manager obtain and renew certificates, for hosts that have none of their own.

    Kubernetes with the setting kubernetes.cert_issuer.

    \b
    Example:
      gitreceive certs auto shop on
    """
    switch = words[-1]
    if switch not in {"on", "off"} or len(words) > 2:
        raise UsageError("say on or off", hint="gitreceive certs auto APP on")
    settings = config.load()
    if switch == "on" and not (settings.target == "kubernetes" and settings.kubernetes.cert_issuer):
        raise ConfigError(
            "this server obtains no certificates",
            hint="on Kubernetes: install cert-manager and set kubernetes.cert_issuer; else bring one: certs add",
        )
    wish = Wish(f"certs auto {switch}", {"routing": {"auto": switch == "on"}})
    name = remote.app_name(words[0] if len(words) == 2 else app)
    with open_platform() as platform:
        change_settings(
            platform, name, lambda _settings, _live: wish, as_json=as_json, permission=Permission.OPERATE
        )


def _change(platform: "Platform", app: AppName, plan: Any, as_json: bool) -> None:
    """And forget the keys of what is not set, however it ended."""
    try:
        change_settings(platform, app, plan, as_json=as_json, permission=Permission.OPERATE)
    finally:
        platform.ledger.forget_certificates(app)


def _renewed(routing: Routing, brought: Certificate) -> Wish:
    replaced = [
        fingerprint
        for fingerprint, facts in routing.certificates.items()
        if fingerprint != brought.fingerprint and all(brought.facts.covers(host) for host in facts.hosts)
    ]
    patch: dict[str, Any] = {**dict.fromkeys(replaced), brought.fingerprint: brought.facts.document()}
    hosts = ", ".join(brought.facts.hosts[:3])
    return Wish(f"certs add {brought.fingerprint[:12]} for {hosts}", {"routing": {"certificates": patch}})


def _warn(platform: "Platform", app: AppName, brought: Certificate) -> None:
    """Of what is as it should not be, and yet can be. Raises ForbiddenError before anything of the app is told."""
    who_may(platform, app, Permission.OPERATE)
    voice, now = Voice(write), datetime.now(UTC)
    settings = config.load()
    if settings.target == "docker" and not settings.docker.https_listen:
        voice.warn("this server does not speak HTTPS: docker.https_listen is empty")
    hosts = platform.ledger.settings(app).routing.hosts(app, settings.domain)
    if not any(brought.facts.covers(host) for host in hosts):
        voice.warn(
            f"it is for {', '.join(brought.facts.hosts[:3])}, and {app} has no such host; see domains add"
        )
    if brought.facts.expires - now < SOON:
        voice.warn(f"it runs out in {brought.facts.days_left(now)} days")


def _hosts(row: dict[str, Any]) -> list[Domain]:
    hosts: list[Domain] = row["hosts"]
    return hosts


def _days(row: dict[str, Any]) -> str:
    return f"{row['days_left']}{' (renew it)' if row['soon'] else ''}"


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _text(file.read(LARGEST + 1), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="name a file of PEM") from None


def _standard_input() -> str:
    return _text(sys.stdin.buffer.read(LARGEST + 1), "standard input")


def _text(content: bytes, where: str) -> str:
    if len(content) > LARGEST:
        raise UsageError(f"{where} is too large", hint=_TOO_LARGE)
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not PEM", hint="convert it: openssl x509 -inform der") from None
