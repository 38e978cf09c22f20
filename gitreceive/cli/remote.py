"""The thin client: in a clone whose remote ``deploy`` is a gitreceive server, commands go there over SSH."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gitreceive import config
from gitreceive.errors import NotFoundError, UsageError
from gitreceive.model import AppName

LOCAL_ONLY = frozenset({"server", "stack", "plan", "doctor"})
_REMOTES = ("deploy", "gitreceive")


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
    """Where there is no server's data folder here but a remote, become ``ssh … COMMAND`` and do not come back."""
    asks_here = not arguments or arguments[0] in LOCAL_ONLY | {"version"} or arguments[0].startswith("-")
    if asks_here or {"-h", "--help"} & set(arguments) or (config.load().data_dir / "ledger.db").exists():
        return
    remote = find()
    if remote is None:
        return
    if not _names_app(arguments):
        arguments = _with_app(arguments, remote.app)
    sys.stdout.flush()
    command = [*remote.ssh, shlex.join(arguments)]
    os.execvp(command[0], command)  # noqa: S606 - a list of words, no shell on this side


def find(folder: Path | None = None) -> Remote | None:
    """The remote of the git repository around ``folder``; None where there is no repository or no such remote."""
    from dulwich.errors import NotGitRepository
    from dulwich.repo import Repo

    try:
        with Repo.discover(str(folder or Path.cwd())) as repository:
            settings = repository.get_config()
            for name in _REMOTES:
                try:
                    url = settings.get((b"remote", name.encode()), b"url")
                except KeyError:
                    continue
                return parse(url.decode())
    except NotGitRepository:
        return None
    return None


def parse(url: str) -> Remote:
    """``ssh://[USER@]HOST[:PORT]/APP`` or ``USER@HOST:APP``. Raises UsageError."""
    if "://" not in url and ":" in url:
        place, _, path = url.partition(":")
        url = f"ssh://{place}/{path.lstrip('/')}"
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "ssh" or not host or host.startswith("-"):
        raise UsageError(
            f"the git remote {url!r} is no gitreceive server", hint="use ssh://git@HOST:2222/APP"
        )
    app = AppName.parse(parts.path.strip("/").removesuffix(".git"))
    return Remote(parts.username or "git", host, parts.port or 22, app)


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


_TAKES_APP = frozenset({"ps", "logs", "open", "builds"})


def _names_app(arguments: list[str]) -> bool:
    return arguments[0] not in _TAKES_APP or any(
        word in {"-a", "--app"} or word.startswith(("--app=", "-a")) for word in arguments
    )


def _with_app(arguments: list[str], app: AppName) -> list[str]:
    if arguments[0] == "builds" and len(arguments) > 1:
        return [*arguments[:2], "--app", app, *arguments[2:]]
    return [arguments[0], "--app", app, *arguments[1:]]
