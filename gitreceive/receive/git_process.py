"""The git programs that speak with a client, and the hooks that they run: command lines, environment, limits."""

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

from gitreceive.config import Settings
from gitreceive.errors import ConfigError
from gitreceive.git.process import git_command, git_environment
from gitreceive.git.version import OLDEST, is_new_enough, version
from gitreceive.receive import hook

HOOKS = ("pre-receive", "proc-receive")
_HEAP = 512 << 20  # bytes that each of git's processes may write to: a pack of 202 bytes can ask for 1 GiB
_CPU = 1200  # seconds of one process
_HUGE = "32m"  # blobs above this are streamed, never held or compared

# what receive-pack must hold to, given with each call so that older repositories follow newer rules
_RECEIVE = {
    "core.fsync": "committed",
    "core.bigFileThreshold": _HUGE,
    "core.deltaBaseCacheLimit": "48m",  # of each thread, beside the blobs that it works on
    "gc.auto": "0",
    "receive.autogc": "false",
    "receive.fsckObjects": "true",
    # harmless flaws of old tools, found in the histories of many well-known projects
    "receive.fsck.zeroPaddedFilemode": "ignore",
    "receive.fsck.badTimezone": "ignore",
    "receive.fsck.missingSpaceBeforeDate": "ignore",
    "receive.unpackLimit": "1",
    "receive.advertiseAtomic": "true",
    "receive.advertisePushOptions": "true",
    "receive.shallowUpdate": "true",
    "receive.denyDeletes": "false",  # the server answers for each ref itself
    "receive.denyNonFastForwards": "false",
    "receive.procReceiveRefs": "refs",
    "receive.keepAlive": "5",
    "transfer.hideRefs": "refs/gitreceive",
    "pack.threads": "2",
}
_UPLOAD = {"transfer.hideRefs": "refs/gitreceive", "uploadpack.allowFilter": "true", "pack.threads": "2"}


# git's CGI program starts the service itself, at once, so it has its limits from its first instruction on
_LIMITED = ("prlimit", f"--data={_HEAP}:{_HEAP}", f"--cpu={_CPU}:{_CPU}", "--core=0:0", "--")
_HTTP = {"http.receivepack": "true", "http.uploadpack": "true", "http.getanyfile": "false"}


def git_service(service: str, repository: Path, settings: Settings) -> list[str]:
    """The command line of ``receive-pack`` or ``upload-pack``."""
    return git_command([*_given(_rules(service, settings)), service, str(repository)])


def git_http_backend(service: str, settings: Settings) -> list[str]:
    """The command line of git's CGI program (git-http-backend(1)), for requests of one service."""
    return [*_LIMITED, *git_command([*_given({**_rules(service, settings), **_HTTP}), "http-backend"])]


def _rules(service: str, settings: Settings) -> dict[str, str]:
    values = dict(_UPLOAD)
    if service == "receive-pack":
        values = {
            **_RECEIVE,
            "receive.maxInputSize": str(settings.policy.max_push_bytes),
            "core.hooksPath": str(hooks_path(settings)),
        }
    return values


def _given(values: Mapping[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in ("-c", f"{name}={value}")]


def service_environment(protocol: str | None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment: GIT_PROTOCOL where the client sent one, and ``more``."""
    return git_environment({**(more or {}), **({"GIT_PROTOCOL": protocol} if protocol else {})})


def limit(pid: int) -> None:
    """Bound a git process and all that it will start. Mapped packs do not count, what git allocates does.

    No error where the process has ended already.
    """
    try:
        resource.prlimit(pid, resource.RLIMIT_DATA, (_HEAP, _HEAP))
        resource.prlimit(pid, resource.RLIMIT_CPU, (_CPU, _CPU))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    except ProcessLookupError:
        return


def check_git(said: str | None = None) -> None:
    """Raise ConfigError unless git is new enough: an old one would move refs with no deploy. ``said``: by ``git version``."""
    said = version() if said is None else said
    if not is_new_enough(said):
        raise ConfigError(f"{said or 'git'} cannot deploy", hint=f"install git {OLDEST} or newer")


def hooks_path(settings: Settings) -> Path:
    return settings.data_dir / "hooks"


def install_hooks(settings: Settings) -> None:
    """Write both hooks, each whole or not at all. Raises ConfigError where this Python cannot be named in a ``#!`` line."""
    python = os.path.realpath(sys.executable)
    first = f"#!{python} -IS\n"
    if any(c.isspace() for c in python) or len(first) > 127:
        raise ConfigError(
            f"hooks cannot be run by {python}", hint="install Python at a shorter path, without blanks"
        )
    folder = hooks_path(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    program = first + Path(hook.__file__).read_text(encoding="utf-8")
    for name in HOOKS:
        new = folder / f".{name}.new"
        new.write_text(program, encoding="utf-8")
        new.chmod(0o700)
        new.replace(folder / name)
