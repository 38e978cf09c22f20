"""Runs as root in a container of a stack's image, with that image's own Python: apt installs, and what has changed goes out as a tar.

One file, standard library only; nothing of gitreceive is in there. ``sys.argv[1]`` is JSON:

    packages   a list of NAME or NAME=VERSION
    limit      bytes that all that is installed may take, by the packages' own account
    options    further options for apt, such as ``Acquire::https::CAInfo=/tmp/ca.pem``

Standard output is one line of JSON, then the tar where it has no ``problem``. Standard error has lines for people.
"""

import difflib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from collections import deque
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Any, BinaryIO

EPOCH = 315532801  # 1980-01-01T00:00:01Z, as Cloud Native Buildpacks have it
_POLICY = "/usr/sbin/policy-rc.d"
_LAST_LINES = 20
_ALIKE = 3
_XATTR = "security.capability"
_OPTIONS = (
    "APT::Install-Recommends=false",
    "APT::Install-Suggests=false",
    "APT::Get::Assume-Yes=true",
    "APT::Get::Remove=false",  # what the stack stands on stays
    "Acquire::Languages=none",
    "Acquire::Retries=2",
    "APT::Update::Error-Mode=any",
    "Dpkg::Use-Pty=false",
    "Dpkg::Options::=--force-confold",
    "Dpkg::Options::=--force-unsafe-io",
)
# folders whose files are of the moment, or made again by whoever needs them; the folders themselves are expected
_PASSING = (
    "dev/*",
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/machine-id",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "proc/*",
    "root/*",
    "run/*",
    "sys/*",
    "tmp/*",
    "var/cache/*",
    "var/lib/apt/lists/*",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/systemd/*",
    "var/log/*",
    "var/tmp/*",
)
_NO_FOLDERS = ("dev/*", "proc/*", "root/*", "sys/*", "tmp/*", "var/lib/apt/lists/*", "var/tmp/*")

Look = tuple[int, ...]  # all of a file's inode that changes when the file does


class Problem(Exception):
    """``kind`` and the facts, as JSON has them."""

    def __init__(self, kind: str, **facts: Any) -> None:
        super().__init__(kind)
        self.facts = {"problem": kind, **facts}


def main(asked: dict[str, Any]) -> int:
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # no program writes into the tar
    with channel:
        try:
            before, facts = install(asked)
        except Problem as problem:
            _send(channel, problem.facts)
            return 1
        _send(channel, facts)
        pack("/", before, channel)
    return 0


def install(asked: dict[str, Any]) -> tuple[dict[str, Look], dict[str, Any]]:
    """What there was before, and the facts of what was installed. Raises Problem."""
    if not shutil.which("apt-get"):
        raise Problem("no apt")
    facts: dict[str, Any] = {"distribution": _distribution()}
    _start_no_services()
    before = snapshot("/")
    apt = _Apt([*_OPTIONS, *asked["options"]], facts)
    apt.run("update")
    _check_names(asked["packages"], facts)
    wanted = _planned(apt.run("install", "--simulate", *asked["packages"]))
    facts["packages"] = [[name, version] for name, version in wanted]
    facts["download"], facts["disk"] = _sizes(wanted)
    if facts["disk"] > asked["limit"]:
        raise Problem("too large", **facts)
    if wanted:
        _say(f"downloading {len(wanted)} package{'s' * (len(wanted) > 1)} ({_size(facts['download'])})")
        apt.run("install", "--download-only", *asked["packages"])
        _say(f"installing ({_size(facts['disk'])} on disk)")
        apt.run("install", *asked["packages"])
    return before, facts


def pack(root: str, before: dict[str, Look], out: BinaryIO) -> None:
    """What differs under ``root`` from ``before``, as one layer (OCI image spec, "Layer changesets"), sorted, without its times."""
    after = snapshot(root)
    changed = {
        name for name, look in after.items() if before.get(name) != look and _is_packed(root, name, before)
    }
    gone = [name for name in before if name not in after and not _is_passing(name) and _is_folder(root, name)]
    parents = {parent for name in (*changed, *gone) for parent in _parents(name)}
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted({*changed, *parents, *map(_whiteout, gone)}):
            _add(tar, root, name)


def snapshot(root: str) -> dict[str, Look]:
    """Everything under ``root`` but mounts, by its path without a slash in front."""
    found: dict[str, Look] = {}
    mounts = set(_mounts()) - {"/"}
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.path in mounts:
                    continue
                found[os.path.relpath(entry.path, root)] = _look(entry.stat(follow_symlinks=False))
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return found


class _Apt:
    def __init__(self, options: Iterable[str], facts: dict[str, Any]) -> None:
        self._options = [part for option in options for part in ("-o", option)]
        self._facts = facts

    def run(self, step: str, *arguments: str) -> list[str]:
        """The lines that it said. Raises Problem with the last of them."""
        done = subprocess.run(
            ["apt-get", *self._options, step, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        lines = done.stdout.splitlines()
        if done.returncode == 0:
            return lines
        for line in deque(lines, _LAST_LINES):
            _say(line)
        said = [line[3:] for line in lines if line.startswith("E: ")] or lines[-1:]
        doing = "download" if "--download-only" in arguments else step
        raise Problem("apt", doing=doing, said=said[:5], **self._facts)


def _check_names(packages: list[str], facts: dict[str, Any]) -> None:
    """Each is a real package in the indexes: apt itself would take a name for a pattern, or one with a sign for a removal."""
    known = set(_ask("apt-cache", "pkgnames"))
    unknown: dict[str, list[str]] = {}
    for package in packages:
        name, _, version = package.partition("=")
        if name not in known:
            near = [one for one in known if one[0] == name[0] and abs(len(one) - len(name)) <= _ALIKE]
            unknown[package] = sorted(difflib.get_close_matches(name, near, _ALIKE, 0.8))
        elif version:
            offered = [
                row.split("|")[1].strip() for row in _ask("apt-cache", "madison", name) if row.count("|") > 1
            ]
            if version not in offered:
                unknown[package] = [f"{name}={one}" for one in dict.fromkeys(offered)]
    if unknown:
        raise Problem("unknown", unknown=unknown, **facts)


def _planned(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Name and version of what ``apt-get --simulate`` would install, sorted."""
    found = (re.match(r"Inst (\S+) (?:\[[^\]]*\] )?\((\S+) ", line) for line in lines)
    return sorted((match[1].partition(":")[0], match[2]) for match in found if match)


def _sizes(packages: list[tuple[str, str]]) -> tuple[int, int]:
    """Bytes to download and on disk, by the packages' own account."""
    if not packages:
        return 0, 0
    shown = _ask("apt-cache", "show", *(f"{name}={version}" for name, version in packages))
    download = sum(int(line.split()[1]) for line in shown if line.startswith("Size: "))
    disk = sum(int(line.split()[1]) for line in shown if line.startswith("Installed-Size: "))
    return download, disk << 10


def _ask(*command: str) -> list[str]:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout.splitlines()


def _distribution() -> str:
    """Such as Debian bookworm (os-release(5))."""
    facts: dict[str, str] = {}
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            for line in file:
                name, _, value = line.strip().partition("=")
                facts[name] = value.strip("\"'")
    except OSError:
        return "its distribution"
    return f"{facts.get('ID', 'linux').capitalize()} {facts.get('VERSION_CODENAME', '')}".strip()


def _start_no_services() -> None:
    """Packages that bring a service do not start it (invoke-rc.d(8)). It is there before the snapshot, so it stays out of the layer."""
    if not os.path.lexists(_POLICY):
        with open(_POLICY, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(_POLICY, 0o755)


def _is_packed(root: str, name: str, before: dict[str, Look]) -> bool:
    """A folder that was there before and only has other entries is no change."""
    status = os.lstat(os.path.join(root, name))
    if stat.S_ISDIR(status.st_mode):
        known = before.get(name)
        same = known is not None and known[:3] == _look(status)[:3]
        return not same and not any(fnmatchcase(name, pattern) for pattern in _NO_FOLDERS)
    return not _is_passing(name)


def _is_passing(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _PASSING)


def _is_folder(root: str, name: str) -> bool:
    """Whether the parent is still a folder: what lay in one that is gone as a whole goes with it."""
    parent = os.path.join(root, os.path.dirname(name))
    return os.path.isdir(parent) and not os.path.islink(parent)


def _whiteout(name: str) -> str:
    folder, last = os.path.split(name)
    return os.path.join(folder, f".wh.{last}")


def _parents(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def _add(tar: tarfile.TarFile, root: str, name: str) -> None:
    path = os.path.join(root, name)
    if os.path.basename(name).startswith(".wh.") and not os.path.lexists(path):
        info = tarfile.TarInfo(name)
        info.mtime = EPOCH
        tar.addfile(info)
        return
    found = tar.gettarinfo(path, name)
    if found is None or not (found.isreg() or found.isdir() or found.issym() or found.islnk()):
        return  # a socket, a pipe or a device: no package ships one that an app could use
    found.mtime = EPOCH
    found.uname = found.gname = ""
    if not found.isreg():
        tar.addfile(found)
        return
    _keep_capability(path, found)
    with open(path, "rb") as file:
        tar.addfile(found, BytesIO(_unchecked(file.read())) if name.endswith(".pyc") else file)


def _keep_capability(path: str, entry: tarfile.TarInfo) -> None:
    try:
        value = os.getxattr(path, _XATTR)
    except OSError:
        return
    entry.pax_headers = {f"SCHILY.xattr.{_XATTR}": value.decode("utf-8", "surrogateescape")}


def _unchecked(content: bytes) -> bytes:
    """PEP 552: compiled Python that is checked by its source's hash → never checked, as in the stack's images."""
    return content[:4] + b"\x01" + content[5:] if content[4:8] == b"\x03\0\0\0" else content


def _look(status: os.stat_result) -> Look:
    return (
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _mounts() -> Iterator[str]:
    """proc(5), mountinfo: the fifth field, with blanks as octal escapes."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            yield re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])


def _send(channel: BinaryIO, facts: dict[str, Any]) -> None:
    channel.write(json.dumps(facts).encode() + b"\n")
    channel.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
