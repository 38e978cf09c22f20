"""A SourceStore in dictionaries."""

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from typing import BinaryIO, cast

from gitreceive.errors import SourceError, StaleError
from gitreceive.model import ZERO_COMMIT, AppName, Check, CommitId, JobId, Source, SourceEntry, TreeEntry

_MODES = {"file": 0o100644, "executable": 0o100755, "symlink": 0o120000}


@dataclass(frozen=True)
class FakeFile:
    content: bytes
    kind: str = "file"  # or executable, symlink


@dataclass
class _Repository:
    refs: dict[str, CommitId] = field(default_factory=dict)
    trees: dict[CommitId, dict[str, FakeFile]] = field(default_factory=dict)
    parents: dict[CommitId, tuple[CommitId, ...]] = field(default_factory=dict)


class FakeSourceStore:
    """Keeps the contract of tests/engines/test_source_store.py. ``commit`` stands for what a push brings."""

    def __init__(self) -> None:
        self._repositories: dict[AppName, _Repository] = {}
        self._lock = threading.RLock()

    def commit(self, app: AppName, files: dict[str, FakeFile], *parents: CommitId) -> CommitId:
        """Put a commit there, on no ref."""
        with self._lock:
            commit = CommitId(sha1(repr((app, files, parents)).encode(), usedforsecurity=False).hexdigest())
            self._at(app).trees[commit] = dict(files)
            self._at(app).parents[commit] = parents
            return commit

    def check(self) -> Iterator[Check]:
        yield Check("git", ok=True, seen="in memory")

    def create(self, app: AppName) -> None:
        with self._lock:
            self._repositories.setdefault(app, _Repository())

    def delete(self, app: AppName) -> None:
        with self._lock:
            self._repositories.pop(app, None)

    def keep(self, app: AppName, job: JobId, commit: CommitId) -> None:
        with self._lock:
            self._tree(Source(app, commit))
            self._at(app).refs[f"refs/gitreceive/builds/{job}"] = commit

    def release(self, app: AppName, job: JobId) -> None:
        with self._lock:
            if app in self._repositories:
                self._at(app).refs.pop(f"refs/gitreceive/builds/{job}", None)

    def kept(self, app: AppName) -> frozenset[JobId]:
        with self._lock:
            refs = self._repositories[app].refs if app in self._repositories else {}
            return frozenset(
                JobId(int(ref.rpartition("/")[2]))
                for ref in refs
                if ref.startswith("refs/gitreceive/builds/")
            )

    def tidy(self, app: AppName) -> int:
        return 0

    def compact(self) -> None:
        """There are no packs."""

    def head(self, app: AppName, ref: str) -> CommitId:
        with self._lock:
            return self._at(app).refs.get(ref, ZERO_COMMIT)

    def check_move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        with self._lock:
            now = self.head(app, ref)
            if now not in {old, new} and (now.is_zero or now not in self._ancestors(app, new)):
                raise StaleError(f"{ref} of {app} has moved", hint="pull, merge or rebase, and push again")

    def move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        with self._lock:
            self.check_move(app, ref, old, new)
            self._tree(Source(app, new))
            self._at(app).refs[ref] = new

    def remove(self, app: AppName, ref: str) -> None:
        with self._lock:
            if app in self._repositories:
                self._at(app).refs.pop(ref, None)

    def entries(self, source: Source, folder: str = "") -> tuple[SourceEntry, ...]:
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        found: dict[str, SourceEntry] = {}
        for path, file in self._tree(source).items():
            if path.startswith(prefix):
                name, slash, _ = path.removeprefix(prefix).partition("/")
                size = 0 if file.kind == "symlink" else len(file.content)
                found[name] = SourceEntry(name, "directory") if slash else SourceEntry(name, file.kind, size)
        return tuple(found[name] for name in sorted(found))

    def tree(self, source: Source) -> Iterator[TreeEntry]:
        for path, file in sorted((path.encode(), file) for path, file in self._tree(source).items()):
            identity = sha1(
                b"blob %d\0" % len(file.content) + file.content, usedforsecurity=False
            ).hexdigest()
            yield TreeEntry(path, _MODES[file.kind], identity)

    def read(self, source: Source, path: str, limit: int = 1 << 20) -> bytes | None:
        file = self._tree(source).get(path.strip("/"))
        return file.content[:limit] if file and file.kind != "symlink" else None

    @contextmanager
    def archive(self, source: Source) -> Iterator[BinaryIO]:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path, file in sorted(self._tree(source).items()):
                entry = tarfile.TarInfo(path)
                entry.mode = 0o755 if file.kind == "executable" else 0o644
                if file.kind == "symlink":
                    entry.type, entry.linkname = tarfile.SYMTYPE, file.content.decode()
                    tar.addfile(entry)
                else:
                    entry.size = len(file.content)
                    tar.addfile(entry, io.BytesIO(file.content))
        made.seek(0)
        yield cast("BinaryIO", made)

    def _at(self, app: AppName) -> _Repository:
        if app not in self._repositories:
            raise SourceError(f"{app} has no repository")
        return self._repositories[app]

    def _tree(self, source: Source) -> dict[str, FakeFile]:
        with self._lock:
            trees = self._at(source.repository).trees
            if source.commit not in trees:
                raise SourceError(f"{source.commit.short} is not there")
            return trees[source.commit]

    def _ancestors(self, app: AppName, commit: CommitId) -> set[CommitId]:
        found: set[CommitId] = set()
        ahead = [commit]
        while ahead:
            here = ahead.pop()
            found.add(here)
            ahead += self._at(app).parents.get(here, ())
        return found
