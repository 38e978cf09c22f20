"""Where a history ends that came from a shallow clone."""

import threading
from contextlib import closing
from pathlib import Path

from dulwich.objects import Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from gitreceive.errors import UnavailableError
from gitreceive.git.process import git_at, run_git
from gitreceive.model import CommitId

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
    peeled = git_at(path, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").split()[-1]
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
