"""Sources in bare git repositories, one an app. C git writes and streams, dulwich walks trees (no process per look)."""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from dulwich.errors import NotGitRepository
from dulwich.objects import Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from gitreceive.config import Settings, repository_path
from gitreceive.errors import GitreceiveError, SourceError, StaleError, UnavailableError
from gitreceive.git.process import git_at, run_git, streaming
from gitreceive.git.version import OLDEST, is_new_enough, version
from gitreceive.model import ZERO_COMMIT, AppName, Check, CommitId, JobId, Source, SourceEntry, TreeEntry

_QUICK = 60.0  # seconds for a call that only looks at, or moves, a ref
_LONG = 1800.0  # for one that packs a repository anew
_SUBMODULE = 0o160000
_MANY_PACKS = 10  # which are not worth it yet


class GitStore:
    """The SourceStore over ``repository_path``: safe for several threads, and for git writing at the same time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def create(self, app: AppName) -> None:
        """Made beside its place and then renamed: a half-made repository is never seen."""
        path = self._path(app)
        if path.is_dir():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as scratch:
            made = Path(scratch, "repo")
            branch = self._settings.policy.branch
            run_git(["init", "--bare", "--quiet", "--template=", f"--initial-branch={branch}", str(made)])
            try:
                made.rename(path)
            except OSError as error:
                if not path.is_dir():
                    raise UnavailableError(
                        f"{path} cannot be made: {error}", hint="see to the disk"
                    ) from error

    def delete(self, app: AppName) -> None:
        """Renamed first, so that nobody sees half of it."""
        path = self._path(app)
        if not path.is_dir():
            return
        try:
            gone = Path(tempfile.mkdtemp(prefix=".gone-", dir=path.parent))
            path.rename(gone / "repo")
            shutil.rmtree(gone)
        except OSError as error:
            raise UnavailableError(f"{path} cannot be removed: {error}", hint="see to the disk") from error

    def keep(self, app: AppName, job: JobId, commit: CommitId) -> None:
        git_at(self._path(app), "update-ref", _kept_ref(job), commit)

    def release(self, app: AppName, job: JobId) -> None:
        """Also where there is no repository: after a restore, it comes with the next push."""
        if not self._path(app).is_dir():
            return
        git_at(self._path(app), "update-ref", "-d", _kept_ref(job))

    def kept(self, app: AppName) -> frozenset[JobId]:
        if not self._path(app).is_dir():
            return frozenset()
        said = git_at(
            self._path(app), "for-each-ref", "--format=%(refname:lstrip=3)", "refs/gitreceive/builds/"
        )
        return frozenset(JobId(int(name)) for name in said.decode("ascii").split() if name.isdigit())

    def tidy(self, app: AppName) -> int:
        """Git's own collection, with its own two weeks of grace: what a push has just brought is never taken."""
        path = self._path(app)
        if not path.is_dir():
            return 0
        with _alone(path):
            before = _bytes(path / "objects")
            run_git(["-c", "gc.auto=0", "gc", "--quiet"], repository=path, timeout=_LONG)
            return max(0, before - _bytes(path / "objects"))

    def compact(self) -> None:
        """Small packs are rolled up into larger ones (git-repack(1), ``--geometric``), which leaves the largest alone. Where it fails for one
        repository, it is done for the others first.
        """
        failed: GitreceiveError | None = None
        for path in self._settings.repositories.glob("*.git"):
            packs = (path / "objects" / "pack").glob("*.pack")
            if sum(1 for _ in packs) > _MANY_PACKS:
                try:
                    self._roll_up(path)
                except GitreceiveError as error:
                    failed = error
        if failed:
            raise failed

    def _roll_up(self, path: Path) -> None:
        try:
            with _alone(path):
                run_git(
                    ["repack", "--geometric=2", "-d", "-l", "-n", "--quiet"], repository=path, timeout=_LONG
                )
        except (SourceError, OSError) as error:
            if path.is_dir():  # else its app was removed meanwhile
                raise SourceError(f"{path.name} cannot be packed anew: {error}") from error

    def head(self, app: AppName, ref: str) -> CommitId:
        _check_ref(ref)
        with self._open(app) as repo:
            found = repo.refs.read_ref(Ref(ref.encode()))
        return CommitId.parse(found.decode("ascii")) if found else ZERO_COMMIT

    def check_move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        self._movable_from(app, ref, old, new)

    def move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        now = self._movable_from(app, ref, old, new)
        if now == new:
            return
        done = run_git(
            ["update-ref", "--end-of-options", ref, new, now], repository=self._path(app), accept=(0, 1, 128)
        )
        found = self.head(app, ref) if done.returncode else new
        if found == now:  # nobody moved it: git could not
            raise UnavailableError(
                f"{_branch(ref)} of {app} cannot be moved: {_said(done.stderr)}",
                hint="ask the operator to see to the disk of the data folder, then push again",
            )
        if found != new:
            raise _stale(app, ref, found)

    def remove(self, app: AppName, ref: str) -> None:
        _check_ref(ref)
        if self._path(app).is_dir():
            git_at(self._path(app), "update-ref", "-d", "--end-of-options", ref)

    def entries(self, source: Source, folder: str = "") -> tuple[SourceEntry, ...]:
        with self._open(source.repository) as repo:
            tree = _folder(repo, source, folder)
            found = [] if tree is None else [(e.path, e.mode, e.sha) for e in tree.items()]
        blobs = [sha.decode("ascii") for _, mode, sha in found if _kind(mode) in {"file", "executable"}]
        sizes = _sizes(self._path(source.repository), blobs)
        listed = (SourceEntry(_text(n), _kind(m), sizes.get(s.decode("ascii"), 0)) for n, m, s in found)
        return tuple(sorted(listed, key=lambda entry: entry.name))

    def tree(self, source: Source) -> Iterator[TreeEntry]:
        """By git, which is quicker at it than dulwich. ``export-subst`` puts the commit into files, so it is in every entry then."""
        path = self._path(source.repository)
        listed = git_at(path, "ls-tree", "-r", "-z", "--full-tree", source.commit)
        lines = [line.split(b"\t", 1) for line in listed.split(b"\0") if line]
        attributes = [facts for facts, name in lines if name.rpartition(b"/")[2] == b".gitattributes"]
        suffix = f"@{source.commit}" if self._substitutes(source.repository, attributes) else ""
        for facts, name in lines:
            mode, _, identity = facts.split(b" ")
            yield TreeEntry(name, int(mode, 8), identity.decode("ascii") + suffix)

    def _substitutes(self, app: AppName, attributes: list[bytes]) -> bool:
        if not attributes:
            return False
        with self._open(app) as repo:
            blobs = (repo.object_store[ObjectID(facts.split(b" ")[2])] for facts in attributes)
            return any(b"export-subst" in blob.as_raw_string() for blob in blobs)

    def read(self, source: Source, path: str, limit: int = 1 << 20) -> bytes | None:
        """A symlink is no file. No more than ``limit`` bytes are ever held, whatever the blob's size."""
        folder, _, name = path.strip("/").rpartition("/")
        with self._open(source.repository) as repo:
            tree = _folder(repo, source, folder)
            mode, sha = _entry(tree, name)
        if _kind(mode) not in {"file", "executable"}:
            return None
        with streaming(["cat-file", "blob", sha], self._path(source.repository)) as stream:
            return stream.read(limit)

    def archive(self, source: Source) -> AbstractContextManager[BinaryIO]:
        """Leaving the context raises SourceError if git failed, so a short tar is never taken for a whole one."""
        command = ["-c", "tar.umask=0022", "archive", "--format=tar", source.commit]
        return streaming(command, self._path(source.repository), whole=True)

    def check(self) -> Iterator[Check]:
        """The git that receives."""
        try:
            said = version()
        except UnavailableError as error:
            yield Check("git", ok=False, seen=error.message, fix="apt-get install git")
            return
        ok = is_new_enough(said)
        yield Check("git", ok=ok, seen=said, fix="" if ok else f"install git {OLDEST} or newer")

    def _movable_from(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> CommitId:
        now = self.head(app, ref)
        if now in {old, new}:
            return now
        if now.is_zero or not _is_ancestor(self._path(app), now, new):
            raise _stale(app, ref, now)
        return now

    def _path(self, app: AppName) -> Path:
        return repository_path(self._settings, app)

    @contextmanager
    def _open(self, app: AppName) -> Iterator[Repo]:
        """Opened for each call: a Repo that stays open does not see packs that git has added or replaced since."""
        try:
            repo = Repo(str(self._path(app)))
        except NotGitRepository as error:
            raise SourceError(f"{app} has no repository", hint="push to it, which makes one") from error
        with closing(repo):
            try:
                yield repo
            except (KeyError, ValueError, AssertionError, OSError) as error:
                raise SourceError(f"the repository of {app} cannot be read: {error}") from error


# --- refs --------------------------------------------------------------------------------------------------------------


@contextmanager
def _alone(repository: Path) -> Iterator[None]:
    """Of all processes: git refuses a second collection beside one."""
    folder = os.open(repository, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _bytes(folder: Path) -> int:
    """What the files below it have, together; those that go meanwhile are not counted."""
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


def _kept_ref(job: JobId) -> str:
    return f"refs/gitreceive/builds/{job:d}"


def _check_ref(ref: str) -> None:
    if not ref.startswith("refs/") or any(c in ref for c in "*?[\\ ~^:") or ".." in ref:
        raise SourceError(f"{ref[:80]!r} is not a ref")


def _is_ancestor(repository: Path, old: CommitId, new: CommitId) -> bool:
    command = ["merge-base", "--is-ancestor", old, new]
    return run_git(command, repository=repository, accept=(0, 1)).returncode == 0


def _stale(app: AppName, ref: str, now: CommitId) -> StaleError:
    where = "is gone" if now.is_zero else f"has moved to {now.short}"
    return StaleError(
        f"{_branch(ref)} of {app} {where} while this push waited",
        hint="pull, merge or rebase, and push again",
    )


def _branch(ref: str) -> str:
    return ref.removeprefix("refs/heads/")


def _said(stderr: bytes) -> str:
    """What git complained of in the end."""
    return (stderr.decode("utf-8", "replace").split("fatal: ")[-1].strip() or "git gives no reason")[:300]


# --- trees and blobs ---------------------------------------------------------------------------------------------------


def _folder(repo: Repo, source: Source, folder: str) -> Tree | None:
    commit = repo.object_store[ObjectID(source.commit.encode("ascii"))]
    if not isinstance(commit, Commit):
        raise SourceError(f"{source.commit.short} is not a commit")
    sha = commit.tree
    for name in filter(None, folder.split("/")):
        mode, found = _entry(cast("Tree", repo.object_store[sha]), name)
        if not stat.S_ISDIR(mode):
            return None
        sha = ObjectID(found.encode("ascii"))
    return cast("Tree", repo.object_store[sha])


def _entry(tree: Tree | None, name: str) -> tuple[int, str]:
    """Mode and id; mode 0 where there is nothing of that name."""
    raw = name.encode("utf-8", "surrogateescape")
    if tree is None or raw not in tree:
        return 0, ""
    mode, sha = tree[raw]
    return mode, sha.decode("ascii")


def _kind(mode: int) -> str:
    if mode == _SUBMODULE:
        return "submodule"
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISLNK(mode):
        return "symlink"
    if not stat.S_ISREG(mode):
        return ""
    return "executable" if mode & 0o100 else "file"


def _sizes(repository: Path, blobs: list[str]) -> dict[str, int]:
    if not blobs:
        return {}
    asked = "".join(f"{sha}\n" for sha in blobs).encode("ascii")
    command = ["cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer"]
    answer = run_git(command, repository=repository, stdin=asked).stdout.decode("ascii")
    pairs = (line.split() for line in answer.splitlines())
    return {sha: int(size) for sha, size in pairs if size.isdigit()}


def _text(name: bytes) -> str:
    """A name for people; bytes that are no UTF-8 are written out, as they cannot be asked for either."""
    return name.decode("utf-8", "backslashreplace")
