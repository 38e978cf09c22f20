"""The git repositories, as the story needs them."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from gitreceive.model import AppName, Check, CommitId, JobId, Source, SourceEntry, TreeEntry


class SourceStore(Protocol):
    """The git repositories. Written by git itself (receive-pack), read here."""

    def create(self, app: AppName) -> None:
        """An empty bare repository; no error where it exists."""

    def delete(self, app: AppName) -> None:
        """Remove the repository and all in it; no error where there is none."""

    def keep(self, app: AppName, job: JobId, commit: CommitId) -> None:
        """Hold the commit under refs/gitreceive/builds/<job>, so that no garbage collection takes it."""

    def release(self, app: AppName, job: JobId) -> None:
        """Let go of what ``keep`` held; no error where nothing is held."""

    def head(self, app: AppName, ref: str) -> CommitId:
        """Where the ref is; ZERO_COMMIT where it does not exist."""

    def check_move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        """Raise StaleError unless ``move`` would do it now: the ref is at ``old`` or ``new``, or at an ancestor of ``new``."""

    def move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        """Compare and swap. May be called twice. Raises StaleError like ``check_move``."""

    def kept(self, app: AppName) -> frozenset[JobId]:
        """The jobs for which commits are held; none where there is no repository."""

    def tidy(self, app: AppName) -> int:
        """Pack the repository, and drop objects that nothing has named for two weeks; the bytes that it takes less. Safe beside pushes. Raises
        SourceError, UnavailableError.
        """

    def compact(self) -> None:
        """Repositories to which pushes came since: each leaves a pack, and whatever is read is looked for in all. Nothing is dropped, and it
        costs what the new packs do. Raises as ``tidy``.
        """

    def remove(self, app: AppName, ref: str) -> None:
        """The ref is gone; no error where there is no such ref, or no repository."""

    def entries(self, source: Source, folder: str = "") -> tuple[SourceEntry, ...]:
        """What lies in a folder of the source, sorted by name; empty where there is no such folder."""

    def tree(self, source: Source) -> Iterator[TreeEntry]:
        """All of the source but its folders, in git's order. Raises SourceError."""

    def read(self, source: Source, path: str, limit: int = 1 << 20) -> bytes | None:
        """A file's first ``limit`` bytes; None where there is no such file."""

    def archive(self, source: Source) -> AbstractContextManager[BinaryIO]:
        """The source as a tar stream (git archive of the commit, tar.umask=0022)."""

    def check(self) -> Iterable[Check]:
        """What doctor wants to know."""
