"""What a commit's tree may be, judged while its objects are still in git's quarantine.

The limits hold before anything is read whole: git lists the tree entry by entry, and the first entry past a limit ends it.
So a tree that a few objects blow up to billions of files costs no more than ``max_files`` of them. Names that could escape
a folder (``.git`` in its spellings, ``..``, slashes) are refused earlier, by git's own ``receive.fsckObjects``.
"""

import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from gitreceive.config import PolicySettings
from gitreceive.errors import PolicyError, UnavailableError
from gitreceive.git.process import git_command, git_environment
from gitreceive.model import CommitId

_LONGEST_ENTRY = 16 << 10
_END = b"\0"  # of an entry of ls-tree; no path has it
_FOLDER = _END + b"040000 tree "  # how one begins, behind the end of another
_LONGEST_NAME, _LONGEST_PATH = (
    255,
    3000,
)  # bytes; Linux's limits (limits.h), with room for where a build puts it
_SHOWN = 3  # names that a finding lists
_PATIENCE = 60.0  # seconds for one look at a tree
_POINTER_SIZES = range(
    100, 1024
)  # git-lfs spec: a pointer is less than 1024 bytes; its three lines take more than 100
_POINTER_START = b"version https://git-lfs"


@dataclass(frozen=True)
class Findings:
    """What was seen in a commit's tree: ``submodules`` and ``lfs`` name the first few. ``problem`` says what cannot be deployed."""

    files: int = 0
    size: int = 0
    submodules: tuple[str, ...] = ()
    lfs: tuple[str, ...] = ()
    kind: str = "commit"

    @property
    def problem(self) -> tuple[str, str] | None:
        """Reason and hint, or None."""
        if self.kind != "commit":
            return f"this is a {self.kind}, not a commit", "push what it points to: TAG^{}:BRANCH"
        if self.submodules:
            hint = "its files are not in this repository: add them to it (git subtree, or a copy), or install them as a dependency"
            return f"submodules cannot be deployed: {_some(self.submodules)}", hint
        if self.lfs:
            hint = "the server holds no LFS files: put them into git itself (git lfs migrate export), or fetch them while building"
            return f"Git LFS pointers cannot be deployed: {_some(self.lfs)}", hint
        return None


def inspect(
    repository: Path, commit: CommitId, limits: PolicySettings, quarantine: Mapping[str, str]
) -> Findings:
    """Look at the commit's whole tree. Raises PolicyError on one that must not be kept: too many files, too large, too deep.

    ``quarantine`` is the environment by which git finds objects that are not taken yet.
    """
    kind = _kind(repository, commit, quarantine)
    if kind != "commit":
        return Findings(kind=kind)
    with _git(["ls-tree", "-r", "-t", "-z", commit], repository, quarantine) as stream:
        _require_few(stream, limits)
    tally = _Tally(limits)
    with _git(["ls-tree", "-r", "-t", "-l", "-z", commit], repository, quarantine) as stream:
        for entry in _entries(stream):
            tally.count(entry)
    lfs = _pointers(repository, tally.small, quarantine)
    return Findings(tally.files, tally.size, tuple(tally.submodules), lfs)


@dataclass
class _Tally:
    limits: PolicySettings
    files: int = 0
    entries: int = 0
    size: int = 0
    submodules: list[str] = field(default_factory=list)
    small: dict[str, str] = field(default_factory=dict)  # blobs that could be pointers: id to path

    def count(self, entry: bytes) -> None:
        """One line of ``git ls-tree -l``: mode, type, id and size, a tab, the path."""
        about, tab, name = entry.partition(b"\t")
        words = about.split()
        if not tab or len(words) != 4:
            raise PolicyError("the tree cannot be read", hint="run git fsck on your clone")
        mode, kind, sha, size = (word.decode("ascii", "replace") for word in words)
        path = name.decode("utf-8", "backslashreplace")
        self._check_depth(path)
        self._check_length(name, path)
        self.entries += 1
        self.files += kind != "tree"
        _check_number(self.files, self.entries, self.limits)
        if kind == "commit" and len(self.submodules) < _SHOWN:
            self.submodules.append(path)
        if kind == "blob":
            self._add_blob(mode, sha, int(size), path)

    def _check_depth(self, path: str) -> None:
        if path.count("/") > self.limits.max_depth:
            raise PolicyError(
                f"a folder is more than {self.limits.max_depth} deep: {path[:60]}…",
                hint="flatten it; the limit is policy.max_depth",
            )

    def _check_length(self, name: bytes, path: str) -> None:
        if len(name) > _LONGEST_PATH or max(map(len, name.split(b"/"))) > _LONGEST_NAME:
            raise PolicyError(
                f"a path is too long to be a file's: {path[:60]}…",
                hint=f"a name may have {_LONGEST_NAME} bytes, and with the folders that it is in {_LONGEST_PATH}",
            )

    def _add_blob(self, mode: str, sha: str, size: int, path: str) -> None:
        self.size += size
        if self.size > self.limits.max_source_bytes:
            raise PolicyError(
                f"the files hold more than {self.limits.max_source_bytes >> 20} MiB",
                hint="leave out what a build can fetch; the limit is policy.max_source_bytes",
            )
        if size in _POINTER_SIZES and mode.startswith("100"):
            self.small.setdefault(sha, path)


def _require_few(stream: IO[bytes], limits: PolicySettings) -> None:
    """Before sizes are asked for, which takes git fifty times as long: a tree that is too large by far is refused within a moment."""
    files, entries, rest = 0, 0, _END
    while chunk := stream.read(32 << 10):
        whole, _, rest = (rest + chunk).rpartition(_END)
        found = whole.count(_END)
        entries += found
        files += found - whole.count(_FOLDER)
        _check_number(files, entries, limits)
        if len(rest) > _LONGEST_ENTRY:
            raise PolicyError("a path is too long", hint="shorten it")
        rest = _END + rest


def _check_number(files: int, entries: int, limits: PolicySettings) -> None:
    if entries > 2 * limits.max_files or files > limits.max_files:
        raise PolicyError(
            f"more than {limits.max_files} files, or as many folders again",
            hint="leave out what a build can fetch; the limit is policy.max_files",
        )


def _entries(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(32 << 10):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
        if len(rest) > _LONGEST_ENTRY:
            raise PolicyError("a path is too long", hint="shorten it")
    if rest:
        raise PolicyError("the tree cannot be read", hint="run git fsck on your clone")


def _pointers(repository: Path, small: Mapping[str, str], quarantine: Mapping[str, str]) -> tuple[str, ...]:
    if not small:
        return ()
    found: list[str] = []
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{sha}\n" for sha in small).encode("ascii"))
        asked.seek(0)
        with _git(["cat-file", "--batch", "--buffer"], repository, quarantine, asked) as stream:
            for path in small.values():
                header = stream.readline().split()
                if len(header) != 3:
                    raise PolicyError(f"{path[:60]} cannot be read", hint="run git fsck on your clone")
                content = stream.read(int(header[2]) + 1)
                if content.startswith(_POINTER_START):
                    found.append(path)
    return tuple(found[:_SHOWN])


def _kind(repository: Path, commit: CommitId, quarantine: Mapping[str, str]) -> str:
    with _git(["cat-file", "-t", commit], repository, quarantine) as stream:
        return stream.read(64).decode("ascii", "replace").strip()


@contextmanager
def _git(
    arguments: list[str], repository: Path, quarantine: Mapping[str, str], stdin: IO[bytes] | None = None
) -> Iterator[IO[bytes]]:
    """Git's output as it comes; git is ended when the reader stops, when it raises, or when it took too long."""
    process = subprocess.Popen(
        git_command(arguments, repository),
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=git_environment(quarantine),
    )
    clock = threading.Timer(_PATIENCE, process.kill)
    clock.start()
    try:
        with process:
            try:
                yield cast("IO[bytes]", process.stdout)
            except BaseException:
                process.kill()
                raise
    finally:
        clock.cancel()
    if process.returncode < 0:
        raise UnavailableError(
            f"git {arguments[0]} was ended by signal {-process.returncode}", hint="push again"
        )
    if process.returncode:
        raise PolicyError("the pushed objects cannot be read", hint="run git fsck on your clone")


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(name[:60] for name in names)
    return f"{shown} and more" if len(names) == _SHOWN else shown
