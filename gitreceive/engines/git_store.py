"""Sources in bare git repositories, one an app. C git writes and streams, dulwich walks trees (no process per look)."""

import re
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from dulwich.errors import NotGitRepository
from dulwich.objects import Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from gitreceive.config import Settings, process_environment, repository_path
from gitreceive.errors import SourceError, StaleError, UnavailableError
from gitreceive.model import ZERO_COMMIT, AppName, Check, CommitId, JobId, Source, SourceEntry, TreeEntry

_QUICK = 60.0  # seconds for a call that only looks at, or moves, a ref
_SUBMODULE = 0o160000
_OLDEST_GIT = (2, 29)


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
        path = self._path(app)
        _git_at(path, "update-ref", _kept_ref(job), commit)
        close_history(path, commit)

    def release(self, app: AppName, job: JobId) -> None:
        _git_at(self._path(app), "update-ref", "-d", _kept_ref(job))

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
        if done.returncode and self.head(app, ref) != new:
            raise _stale(app, ref, self.head(app, ref))

    def entries(self, source: Source, folder: str = "") -> tuple[SourceEntry, ...]:
        with self._open(source.app) as repo:
            tree = _folder(repo, source, folder)
            found = [] if tree is None else [(e.path, e.mode, e.sha) for e in tree.items()]
        blobs = [sha.decode("ascii") for _, mode, sha in found if _kind(mode) in {"file", "executable"}]
        sizes = _sizes(self._path(source.app), blobs)
        listed = (SourceEntry(_text(n), _kind(m), sizes.get(s.decode("ascii"), 0)) for n, m, s in found)
        return tuple(sorted(listed, key=lambda entry: entry.name))

    def tree(self, source: Source) -> Iterator[TreeEntry]:
        """By git, which is quicker at it than dulwich. ``export-subst`` puts the commit into files, so it is in every entry then."""
        path = self._path(source.app)
        listed = _git_at(path, "ls-tree", "-r", "-z", "--full-tree", source.commit)
        lines = [line.split(b"\t", 1) for line in listed.split(b"\0") if line]
        attributes = [facts for facts, name in lines if name.rpartition(b"/")[2] == b".gitattributes"]
        suffix = f"@{source.commit}" if self._substitutes(source.app, attributes) else ""
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
        with self._open(source.app) as repo:
            tree = _folder(repo, source, folder)
            mode, sha = _entry(tree, name)
        if _kind(mode) not in {"file", "executable"}:
            return None
        with _streaming(["cat-file", "blob", sha], self._path(source.app)) as stream:
            return stream.read(limit)

    def archive(self, source: Source) -> AbstractContextManager[BinaryIO]:
        """Leaving the context raises SourceError if git failed, so a short tar is never taken for a whole one."""
        command = ["-c", "tar.umask=0022", "archive", "--format=tar", source.commit]
        return _streaming(command, self._path(source.app), whole=True)

    def check(self) -> Iterator[Check]:
        """The git that receives, which must know proc-receive hooks: 2.29 (October 2020)."""
        try:
            said = run_git(["version"]).stdout.decode("ascii", "replace").strip()
        except UnavailableError as error:
            yield Check("git", ok=False, seen=error.message, fix="apt-get install git")
            return
        number = re.search(r"(\d+)\.(\d+)", said)
        ok = number is not None and (int(number[1]), int(number[2])) >= _OLDEST_GIT
        yield Check("git", ok=ok, seen=said, fix="" if ok else "install git 2.29 or newer")

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


# --- git, run in one way -----------------------------------------------------------------------------------------------


def git_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What git sees: PATH, a plain locale, no settings but the repository's and those on its command line, and ``more``."""
    return {
        "PATH": process_environment().get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        **(more or {}),
    }


def git_command(arguments: Sequence[str], repository: Path | None = None) -> list[str]:
    """The command line of one git call. A repository is named by ``--git-dir``: git never looks for one."""
    return ["git", *([f"--git-dir={repository}"] if repository else []), *arguments]


def run_git(
    arguments: Sequence[str],
    *,
    repository: Path | None = None,
    stdin: bytes = b"",
    accept: tuple[int, ...] = (0,),
    timeout: float = _QUICK,
) -> subprocess.CompletedProcess[bytes]:
    """Run git to its end, output in memory. Raises SourceError on another exit code, UnavailableError without git or answer."""
    try:
        done = subprocess.run(
            git_command(arguments, repository),
            input=stdin,
            capture_output=True,
            env=git_environment(),
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"git {arguments[0]} gave no answer in {timeout:.0f} s") from error
    except OSError as error:
        raise UnavailableError(f"git cannot be run: {error}", hint="apt install git") from error
    if done.returncode not in accept:
        raise _failed(arguments, done.returncode, done.stderr)
    return done


def _git_at(repository: Path, *arguments: str) -> bytes:
    return run_git(arguments, repository=repository).stdout


@contextmanager
def _streaming(arguments: Sequence[str], repository: Path, *, whole: bool = False) -> Iterator[BinaryIO]:
    """Git's output as it comes. ``whole``: what the reader left is read on leaving, and a failure of git is raised."""
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                git_command(arguments, repository),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=git_environment(),
            )
        except OSError as error:
            raise UnavailableError(f"git cannot be run: {error}", hint="apt install git") from error
        with process:
            stream = cast("IO[bytes]", process.stdout)
            try:
                yield cast("BinaryIO", stream)
                if whole:
                    while stream.read(1 << 20):
                        pass
            except BaseException:
                process.kill()
                raise
            if not whole:
                process.kill()
        if whole and process.returncode:
            complaints.seek(0)
            raise _failed(arguments, process.returncode, complaints.read())


def _failed(arguments: Sequence[str], code: int, stderr: bytes) -> SourceError:
    said = stderr.decode("utf-8", "replace").strip().splitlines()
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    return SourceError(f"git {verb} failed ({code}): {said[-1] if said else 'without a word'}")


# --- refs --------------------------------------------------------------------------------------------------------------


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
    branch = ref.removeprefix("refs/heads/")
    return StaleError(
        f"{branch} of {app} {where} while this push waited", hint="pull, merge or rebase, and push again"
    )


# --- shallow pushes ----------------------------------------------------------------------------------------------------

_SHALLOW_LOCK = threading.Lock()


def close_history(repository: Path, commit: CommitId) -> None:
    """Where the history of a commit (or tag) ends in missing parents, as after a push from a shallow clone, record the end in
    git's file ``shallow``: without that, git takes the repository for damaged.
    """
    if not _history_is_whole(repository, commit):
        _record_boundary(repository, _commits_without_parents(repository, commit))


def _history_is_whole(repository: Path, commit: CommitId) -> bool:
    """Walks only what no branch or tag reaches yet, as git's own check after a push does."""
    if _continues_a_branch(repository, commit):
        return True
    command = ["rev-list", "--quiet", commit, "--not", "--branches", "--tags"]
    return run_git(command, repository=repository, accept=(0, 128), timeout=600).returncode == 0


def _continues_a_branch(repository: Path, commit: CommitId) -> bool:
    """Whether every parent is where a branch is: so it is with most pushes, and then no process has to walk."""
    with closing(Repo(str(repository))) as repo:
        name = ObjectID(commit.encode("ascii"))
        try:
            found = repo.object_store[name]
        except KeyError:
            return False
        parents = set(found.parents) if isinstance(found, Commit) else set()
        return bool(parents) and parents <= set(repo.refs.as_dict(Ref(b"refs/heads")).values())


def _commits_without_parents(path: Path, commit: CommitId) -> set[str]:
    boundary: set[str] = set()
    peeled = _git_at(path, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").split()[-1]
    with closing(Repo(str(path))) as repo:
        seen: set[bytes] = set()
        ahead = [ObjectID(peeled)]
        while ahead:
            here = ahead.pop()
            found = repo.object_store[here]
            parents = found.parents if isinstance(found, Commit) else []
            if any(parent not in repo.object_store for parent in parents):
                boundary.add(here.decode("ascii"))
                continue
            ahead += [parent for parent in parents if parent not in seen]
            seen.update(parents)
    return boundary


def _record_boundary(repository: Path, commits: set[str]) -> None:
    """Git's own protocol for the file ``shallow``: written as ``shallow.lock``, then renamed."""
    place = repository / "shallow"
    lock = repository / "shallow.lock"
    with _SHALLOW_LOCK:
        known = set(place.read_text("ascii").split()) if place.exists() else set()
        try:
            with lock.open("x", encoding="ascii") as file:
                file.write("".join(f"{commit}\n" for commit in sorted(known | commits)))
            lock.replace(place)
        except OSError as error:
            raise UnavailableError(f"{place} cannot be written: {error}", hint="push again") from error


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
