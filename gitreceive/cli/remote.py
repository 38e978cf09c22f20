"""The thin client: in a clone whose git remote ``deploy`` is a gitreceive server, commands go there over SSH."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gitreceive import config
from gitreceive.cli import config_words
from gitreceive.errors import NotFoundError, UnavailableError, UsageError
from gitreceive.model import AppName

LOCAL_ONLY = frozenset(
    {"ledger", "server", "stack", "plan", "permissions", "buildpack", "openssh"}
)  # refused over SSH
_ASKED_HERE = LOCAL_ONLY | {"app-json", "doctor", "version"}
_REMOTES = ("deploy", "gitreceive")
# neither may look like an option to ssh, or hold what ssh or a shell reads as more than a name
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)
_APP = re.compile(r"/([A-Za-z0-9-]+?)(?:\.git)?/?", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]{0,253}", re.ASCII)


@dataclass(frozen=True)
class Remote:
    """Where a clone is pushed to: ssh://git@host:2222/shop."""

    user: str
    host: str
    port: int
    app: AppName

    @property
    def ssh(self) -> list[str]:
        return ["ssh", "-p", str(self.port), "--", f"{self.user}@{self.host}"]


def ask_if_remote(arguments: list[str]) -> None:
    """Where there is no server's data here but a remote, become ``ssh … COMMAND`` and do not come back.

    Raises UsageError for a remote that is no server's, UnavailableError where ssh cannot be run.
    """
    own = arguments[: begins_elsewhere(arguments)]
    if own[0] in _ASKED_HERE or own[0].startswith("-") or {"-h", "--help"} & set(own):
        return
    if has_ledger(config.load()):
        return
    remote = find()
    if remote is not None:
        arguments = _with_colour(_with_app(arguments, remote.app))
        _become(_forwarding(arguments, remote) or [*_ssh(arguments, remote), shlex.join(arguments)])


def _ssh(arguments: list[str], remote: Remote) -> list[str]:
    """With a terminal there where there is one here, for what is spoken with."""
    alone = {"--no-tty", "-d", "--detach"} & set(arguments[: begins_elsewhere(arguments)])
    spoken_with = arguments[0] in _WITH_A_COMMAND and arguments[1:2] not in ([], ["list"], ["stop"])
    if spoken_with and not alone and os.isatty(0) and os.isatty(1):
        return [remote.ssh[0], "-t", *remote.ssh[1:]]
    return remote.ssh


def _forwarding(arguments: list[str], remote: Remote) -> list[str] | None:
    """What OpenSSH does itself; None for other commands."""
    if arguments[0] != "port-forward":
        return None
    from gitreceive.cli.port_forward import command, parse_ports

    with command.make_context("port-forward", arguments[1:]) as context:
        app, instance = AppName.parse(context.params["app"]), context.params["instance"]
        here, there = parse_ports(context.params["ports"])
    if not _PROCESS.fullmatch(instance):
        raise UsageError(f"{instance[:60]!r} names no process", hint="gitreceive ps")
    way = f"127.0.0.1:{here}:{instance}.{app}:{there}"
    return [remote.ssh[0], "-N", "-o", "ExitOnForwardFailure=yes", "-L", way, *remote.ssh[1:]]


def begins_elsewhere(arguments: list[str]) -> int:
    """Where the words begin that are another program's: behind ``--``, or the first one that is no option of ours."""
    if arguments[:2] == ["cron", "set"]:
        return arguments.index("--") if "--" in arguments else len(arguments)
    if arguments[:1] == [] or arguments[0] not in _WITH_A_COMMAND:
        return len(arguments)
    before = ""
    for place, word in enumerate(arguments[1:], 1):
        if word == "--":
            return place
        if not word.startswith("-") and before not in _WITH_A_VALUE and word not in _PARTS_OF_RUN:
            return place
        before = word
    return len(arguments)


def has_ledger(settings: config.Settings) -> bool:
    """Whether this is a server's own host."""
    return bool(settings.database) or (settings.data_dir / "ledger.db").exists()


def find(folder: Path | None = None) -> Remote | None:
    """The remote of the git repository around ``folder``; None where there is no repository or no such remote.

    Raises UsageError where there is one, but to something else.
    """
    refused: UsageError | None = None
    for url in _urls(folder or Path.cwd()):
        try:
            return parse(url)
        except UsageError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return None


def parse(url: str) -> Remote:
    """``ssh://[USER@]HOST[:PORT]/APP`` or ``[USER@]HOST:APP``. Raises UsageError, which repeats no password."""
    full = url
    if "://" not in url and ":" in url:
        place, _, path = url.partition(":")
        full = f"ssh://{place}/{path.lstrip('/')}"
    try:
        parts = urlsplit(full)
        user, host, port = parts.username or "git", parts.hostname or "", parts.port or 22
    except ValueError as error:  # a port or an IPv6 address that is none
        raise _no_server(url) from error
    by_http = parts.scheme in ("http", "https") and _HOST.fullmatch(host) and _APP.fullmatch(parts.path)
    if by_http:
        raise _by_http(parts.scheme, host, AppName.parse(by_http[1]))
    if parts.scheme != "ssh" or not _USER.fullmatch(user) or not _HOST.fullmatch(host):
        raise _no_server(url)
    return Remote(user, host, port, AppName.parse(parts.path.strip("/").removesuffix(".git")))


def app_name(given: str | None) -> AppName:
    """The app that was named, else that of the git remote. Raises UsageError, NotFoundError."""
    if given is not None:
        return AppName.parse(given)
    remote = find() if config.acting_user() is None else None
    if remote is None:
        raise NotFoundError(
            "no app is named", hint="add --app NAME, or run it in a clone with a git remote 'deploy'"
        )
    return remote.app


def _become(command: list[str]) -> None:
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606 - a list of words, no shell on this side
    except OSError as error:
        raise UnavailableError(
            f"ssh cannot be run: {error.strerror}", hint="install the OpenSSH client (openssh-client)"
        ) from error


def _urls(folder: Path) -> Iterator[str]:
    from dulwich.errors import NotGitRepository
    from dulwich.repo import Repo

    try:
        with Repo.discover(str(folder)) as repository:
            settings = repository.get_config()
            for name in _REMOTES:
                try:
                    yield settings.get((b"remote", name.encode()), b"url").decode("utf-8", "replace")
                except KeyError:
                    continue
    except NotGitRepository:
        return


def _by_http(scheme: str, host: str, app: AppName) -> UsageError:
    return UsageError(
        f"the git remote {scheme}://{host}/{app} is for pushes, and commands go over SSH",
        hint=f"name a remote for them: git remote add gitreceive ssh://git@{host}:2222/{app}\n"
        f"or, with nothing installed: ssh -p 2222 git@{host} COMMAND --app {app}",
    )


def _no_server(url: str) -> UsageError:
    scheme, _, rest = url.rpartition("://")
    shown = f"{scheme}://{rest.rpartition('@')[2]}" if scheme else url  # without a password
    return UsageError(
        f"the git remote {shown[:120]!r} is no gitreceive server", hint="use ssh://git@HOST:2222/APP"
    )


# commands that take --app, and how many words they are
_TAKES_APP: dict[tuple[str, ...], int] = {
    ("certs", "add"): 2,
    ("certs", "auto"): 2,
    ("certs", "list"): 2,
    ("certs", "remove"): 2,
    ("cron", "history"): 2,
    ("cron", "list"): 2,
    ("cron", "run"): 2,
    ("cron", "set"): 2,
    ("cron", "unset"): 2,
    ("domains", "add"): 2,
    ("domains", "https"): 2,
    ("domains", "list"): 2,
    ("domains", "remove"): 2,
    ("events",): 1,
    ("healthchecks", "list"): 2,
    ("healthchecks", "set"): 2,
    ("healthchecks", "unset"): 2,
    ("lock",): 1,
    ("maintenance", "info"): 2,
    ("maintenance", "off"): 2,
    ("maintenance", "on"): 2,
    ("ps",): 1,
    ("ps", "autoscale"): 2,
    ("ps", "limits"): 2,
    ("ps", "list"): 2,
    ("ps", "restart"): 2,
    ("ps", "scale"): 2,
    ("ps", "start"): 2,
    ("ps", "stop"): 2,
    ("unlock",): 1,
    ("log-drains", "add"): 2,
    ("log-drains", "list"): 2,
    ("log-drains", "remove"): 2,
    ("log-drains", "test"): 2,
    ("logs",): 1,
    ("open",): 1,
    ("exec",): 1,
    ("port-forward",): 1,
    ("run",): 1,
    ("run", "list"): 2,
    ("run", "start"): 2,
    ("run", "stop"): 2,
    ("rebase",): 1,
    ("rollback",): 1,
    ("redeploy",): 1,
    ("promote",): 1,
    ("releases",): 1,
    ("releases", "list"): 2,
    ("releases", "info"): 2,
    ("releases", "diff"): 2,
    ("releases", "sbom"): 2,
    ("releases", "provenance"): 2,
    ("releases", "verify"): 2,
    ("access", "add"): 2,
    ("access", "remove"): 2,
    ("access", "list"): 2,
    ("access", "transfer"): 2,
    ("reviews", "list"): 2,
    ("reviews", "set"): 2,
    ("apps", "info"): 2,
    ("builds", "list"): 2,
    ("builds", "log"): 2,
    ("builds", "attach"): 2,
    ("builds", "cancel"): 2,
    ("quotas", "list"): 2,
    ("services", "bind"): 2,
    ("services", "create"): 2,
    ("services", "destroy"): 2,
    ("services", "info"): 2,
    ("services", "list"): 2,
    ("services", "unbind"): 2,
    ("volumes", "add"): 2,
    ("volumes", "list"): 2,
    ("volumes", "remove"): 2,
    ("config", "list"): 2,
    ("config", "get"): 2,
    ("config", "set"): 2,
    ("config", "unset"): 2,
    ("config", "import"): 2,
    ("config", "export"): 2,
}


_WITH_A_COMMAND = {"run", "exec"}
_PARTS_OF_RUN = {"start", "list", "stop"}
_PROCESS = re.compile(r"[a-z0-9][a-z0-9.-]{0,80}", re.ASCII)
# by their first word or their first two: where an app may stand as a word of its own, and behind how many others it is left out
_APP_IS_A_WORD = {
    "access": 1,
    **dict.fromkeys(("apps", "lock", "logs", "maintenance", "promote", "rebase", "redeploy"), 0),
    **dict.fromkeys(("releases", "reviews", "rollback", "unlock"), 0),
    **dict.fromkeys(
        ("certs add", "certs list", "cron list", "domains list", "services list", "volumes list"), 0
    ),
    **dict.fromkeys(("cron run", "cron set", "cron unset", "volumes add", "volumes remove"), 1),
    **dict.fromkeys(("services destroy", "services info"), 1),
    "services create": 2,
    **dict.fromkeys(("healthchecks list", "ps list", "ps start", "ps stop"), 0),
}
_WITH_A_VALUE = {
    *("-a", "--app", "-e", "--env", "--size", "--memory", "--cpu", "--timeout"),
    *("-m", "-n", "--reason", "--stack", "--to", "--lifetime", "--inherit", "--role", "--team"),
    *("--cert", "--key"),
    *("--schedule", "--concurrency"),
    *("--confirm", "--mount", "--prefix", "--process", "--secret", "--version"),
    *("--build", "--color", "--colour", "--ps", "--since", "--source", "--until"),
}
RELEASE = re.compile(r"v[1-9][0-9]{0,8}", re.ASCII)  # v7, where an app may stand too


def _with_app(arguments: list[str], app: AppName) -> list[str]:
    """``--app`` behind a command that can take it, where no app is named."""
    at = _TAKES_APP.get(tuple(arguments[:2])) or _TAKES_APP.get(tuple(arguments[:1]))
    own = arguments[: begins_elsewhere(arguments)]
    if at is None:
        return arguments
    if arguments[0] == "config":
        named = config_words.name_app(arguments[1], arguments[at:])
    else:
        named = _names_app(own[at:], _other_words(arguments))
    if named:
        return arguments
    return [*arguments[:at], "--app", app, *arguments[at:]]


def _with_colour(arguments: list[str]) -> list[str]:
    """The server sees no terminal: what is there is told from here, to a command that can take it."""
    if arguments[0] != "logs" or any(word.startswith(("--color", "--colour")) for word in arguments):
        return arguments
    coloured = sys.stdout.isatty() and config.terminal_takes_colour()
    return [arguments[0], "--color", "always", *arguments[1:]] if coloured else arguments


def _other_words(arguments: list[str]) -> int | None:
    """How many words a command has that are no app; None where an app is never one."""
    others = _APP_IS_A_WORD.get(" ".join(arguments[:2]), _APP_IS_A_WORD.get(arguments[0]))
    alone = arguments[1:2] == ["list"] or any(word.partition("=")[0] == "--team" for word in arguments)
    return 0 if others and alone else others


def _names_app(words: list[str], others: int | None) -> bool:
    if any(word in {"-a", "--app", "--all"} or word.startswith(("--app=", "-a")) for word in words):
        return True
    plain = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in _WITH_A_VALUE and not RELEASE.fullmatch(word)
    ]
    return others is not None and len(plain) > others
