"""Sources in a real repository, made without a working copy: any mode, any bytes in a name."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dulwich.objects import Blob as GitBlob
from dulwich.objects import Commit, ObjectID, Tree
from dulwich.repo import Repo

from gitreceive.config import Settings, repository_path
from gitreceive.engines.git_store import GitStore
from gitreceive.model import AppName, CommitId, Source

PLAIN, EXECUTABLE, SYMLINK = 0o100644, 0o100755, 0o120000


@dataclass(frozen=True)
class Node:
    content: bytes
    mode: int = PLAIN


Files = Mapping[bytes, Node]


class Repository:
    """The store, and a way to put commits into it."""

    def __init__(self, data_dir: Path) -> None:
        self._settings = Settings(data_dir=data_dir)
        self.store = GitStore(self._settings)
        self.app = AppName.parse("shop")
        self.store.create(self.app)

    def commit(self, files: Files) -> Source:
        with closing(Repo(str(repository_path(self._settings, self.app)))) as repo:
            commit = Commit()
            commit.tree = _tree(repo, files)
            commit.author = commit.committer = b"Ada <ada@example.com>"
            commit.commit_time = commit.author_time = 1_700_000_000
            commit.commit_timezone = commit.author_timezone = 0
            commit.message = b"test"
            repo.object_store.add_object(commit)
            return Source(self.app, CommitId.parse(commit.id.decode()))


def _tree(repo: Repo, files: Files) -> ObjectID:
    tree = Tree()
    below: dict[bytes, dict[bytes, Node]] = {}
    for path, node in files.items():
        name, slash, rest = path.partition(b"/")
        if slash:
            below.setdefault(name, {})[rest] = node
        else:
            blob = GitBlob.from_string(node.content)
            repo.object_store.add_object(blob)
            tree.add(name, node.mode, blob.id)
    for name, inner in below.items():
        tree.add(name, 0o040000, _tree(repo, inner))
    repo.object_store.add_object(tree)
    return tree.id
