"""What every SourceStore promises, held against the fake and against git."""

import os
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gitreceive.config import Settings, repository_path
from gitreceive.engines.git_store import GitStore
from gitreceive.errors import SourceError, StaleError, UnavailableError
from gitreceive.model import ZERO_COMMIT, AppName, CommitId, JobId, Source, SourceEntry
from gitreceive.ports import SourceStore
from tests.fake_source_store import FakeFile, FakeSourceStore

SHOP = AppName("shop")
MAIN = "refs/heads/main"
FILES = {
    "app.py": FakeFile(b"print()\n"),
    "bin/run": FakeFile(b"#!/bin/sh\n", "executable"),
    "bin/deep/data": FakeFile(b"x" * 5000),
    "link": FakeFile(b"app.py", "symlink"),
    "zoë.txt": FakeFile("ü".encode()),
}
MODES = {"file": "100644", "executable": "100755", "symlink": "120000"}

Commit = Callable[..., CommitId]


class World:
    """A store, and a way to put commits into it."""

    def __init__(self, store: SourceStore, commit: Commit) -> None:
        self.store = store
        self.commit = commit

    def source(self, files: dict[str, FakeFile] = FILES) -> Source:
        return Source(SHOP, self.commit(SHOP, files))


def _git(repository: Path, *words: str, stdin: bytes = b"", index: str = "") -> str:
    who = {f"GIT_{w}_{x}": "a@b" for w in ("AUTHOR", "COMMITTER") for x in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **who}
    environment |= {"GIT_INDEX_FILE": index} if index else {}
    command = ["git", f"--git-dir={repository}", *words]
    return (
        subprocess.run(command, input=stdin, env=environment, check=True, capture_output=True)
        .stdout.decode()
        .strip()
    )


def _commit_by_git(
    settings: Settings, app: AppName, files: dict[str, FakeFile], *parents: CommitId
) -> CommitId:
    repository = repository_path(settings, app)
    index = str(repository / "index-of-test")
    lines = [
        f"{MODES[file.kind]} {_git(repository, 'hash-object', '-w', '--stdin', stdin=file.content)}\t{path}\0"
        for path, file in files.items()
    ]
    _git(repository, "update-index", "-z", "--index-info", stdin="".join(lines).encode(), index=index)
    tree = _git(repository, "write-tree", index=index)
    (repository / "index-of-test").unlink()
    options = [word for parent in parents for word in ("-p", parent)]
    return CommitId.parse(_git(repository, "commit-tree", tree, "-m", "test", *options))


@pytest.fixture(params=["fake", "git"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "fake":
        fake = FakeSourceStore()
        fake.create(SHOP)
        return World(fake, fake.commit)
    settings = Settings(data_dir=tmp_path)
    store = GitStore(settings)
    store.create(SHOP)
    return World(store, lambda *given: _commit_by_git(settings, *given))


def test_entries_have_kind_and_size_and_are_sorted(world: World) -> None:
    assert world.store.entries(world.source()) == (
        SourceEntry("app.py", "file", 8),
        SourceEntry("bin", "directory"),
        SourceEntry("link", "symlink"),
        SourceEntry("zoë.txt", "file", 2),
    )


def test_the_tree_is_every_file_with_its_mode_and_what_names_its_content(world: World) -> None:
    before = {e.path: (e.mode, e.object) for e in world.store.tree(world.source())}
    changed = {**FILES, "app.py": FakeFile(b"other"), "bin/run": FakeFile(b"#!/bin/sh\n")}
    after = {e.path: (e.mode, e.object) for e in world.store.tree(world.source(changed))}
    assert {path.decode(): f"{mode:o}" for path, (mode, _) in before.items()} == {
        path: MODES[file.kind] for path, file in FILES.items()
    }
    assert {path for path in before if before[path] != after[path]} == {b"app.py", b"bin/run"}
    assert before[b"bin/run"][1] == after[b"bin/run"][1]


def test_entries_of_a_folder(world: World) -> None:
    source = world.source()
    expected = (SourceEntry("deep", "directory"), SourceEntry("run", "executable", 10))
    assert world.store.entries(source, "bin") == world.store.entries(source, "bin/") == expected
    assert world.store.entries(source, "bin/deep") == (SourceEntry("data", "file", 5000),)


@pytest.mark.parametrize("folder", ["nowhere", "app.py", "link", "bin/run", ".."])
def test_what_is_no_folder_has_no_entries(world: World, folder: str) -> None:
    assert world.store.entries(world.source(), folder) == ()


def test_a_file_is_read_up_to_its_limit(world: World) -> None:
    source = world.source()
    assert world.store.read(source, "app.py") == b"print()\n"
    assert world.store.read(source, "bin/deep/data", limit=10) == b"x" * 10
    assert world.store.read(source, "zoë.txt") == "ü".encode()


@pytest.mark.parametrize("path", ["nowhere", "bin", "link", "nowhere/x", "app.py/x", "../x", ""])
def test_what_is_no_file_reads_as_none(world: World, path: str) -> None:
    assert world.store.read(world.source(), path) is None


def test_the_archive_holds_every_file_with_plain_modes_and_symlinks(world: World) -> None:
    with world.store.archive(world.source()) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        found = {entry.name: (entry.mode, entry.linkname) for entry in tar if not entry.isdir()}
    assert found["app.py"] == (0o644, "")
    assert found["bin/run"] == (0o755, "")
    assert found["link"][1] == "app.py"
    assert set(found) == set(FILES)


def test_a_commit_that_is_not_there_is_an_error(world: World) -> None:
    source = Source(SHOP, CommitId("d" * 40))
    with pytest.raises(SourceError):
        world.store.entries(source)
    with pytest.raises(SourceError):
        world.store.read(source, "app.py")
    with pytest.raises(SourceError), world.store.archive(source) as stream:
        stream.read()


def test_an_app_without_a_repository_is_an_error(world: World) -> None:
    with pytest.raises(SourceError):
        world.store.entries(Source(AppName("blog"), CommitId("d" * 40)))


def test_create_and_delete_may_be_called_twice(world: World) -> None:
    commit = world.commit(SHOP, FILES)
    world.store.create(SHOP)
    assert world.store.entries(Source(SHOP, commit))
    world.store.delete(SHOP)
    world.store.delete(SHOP)
    with pytest.raises(SourceError):
        world.store.entries(Source(SHOP, commit))


def test_a_kept_commit_is_on_a_ref_of_its_own_until_it_is_released(world: World) -> None:
    commit = world.commit(SHOP, FILES)
    world.store.keep(SHOP, JobId(7), commit)
    world.store.keep(SHOP, JobId(7), commit)
    assert world.store.head(SHOP, "refs/gitreceive/builds/7") == commit
    world.store.release(SHOP, JobId(7))
    world.store.release(SHOP, JobId(7))
    assert world.store.head(SHOP, "refs/gitreceive/builds/7") == ZERO_COMMIT


def test_the_jobs_that_commits_are_kept_for_are_told(world: World) -> None:
    assert world.store.kept(AppName("none")) == frozenset()
    first = world.commit(SHOP, {"a": FakeFile(b"1")})
    world.store.keep(SHOP, JobId(7), first)
    world.store.keep(SHOP, JobId(12), first)
    assert world.store.kept(SHOP) == {7, 12}
    world.store.release(SHOP, JobId(7))
    assert world.store.kept(SHOP) == {12}


def test_tidying_loses_nothing_that_was_just_brought(world: World) -> None:
    first = world.commit(SHOP, {"a": FakeFile(b"1")})
    loose = world.commit(SHOP, {"a": FakeFile(b"2")}, first)
    world.store.move(SHOP, MAIN, ZERO_COMMIT, first)
    assert world.store.tidy(AppName("none")) == 0
    assert world.store.tidy(SHOP) >= 0
    world.store.move(SHOP, MAIN, first, loose)
    assert world.store.read(Source(SHOP, loose), "a") == b"2"


def test_what_many_pushes_brought_becomes_few_packs_and_nothing_is_lost(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    store = GitStore(settings)
    store.compact()
    for app in (SHOP, AppName("blog")):
        store.create(app)
    repository = repository_path(settings, SHOP)
    packs = repository / "objects" / "pack"

    def pushed(number: int) -> CommitId:
        commit = _commit_by_git(settings, SHOP, {"a": FakeFile(str(number).encode())})
        store.keep(SHOP, JobId(number), commit)
        _git(repository, "repack", "-d", "--quiet")
        store.release(SHOP, JobId(number))  # as that of a build that failed: nothing names it
        return commit

    commits = [pushed(number) for number in range(1, 11)]
    store.compact()
    assert len(list(packs.glob("*.pack"))) == 10
    commits.append(pushed(11))
    store.compact()
    assert len(list(packs.glob("*.pack"))) < 5
    found = [store.read(Source(SHOP, commit), "a") for commit in commits]
    assert found == [str(number).encode() for number in range(1, 12)]


def test_a_repository_that_is_spoilt_keeps_no_other_from_being_packed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    store = GitStore(settings)
    apps = [AppName(name) for name in ("a", "b", "c")]
    for app in apps:
        store.create(app)
        for number in range(11):
            _commit_by_git(settings, app, {"a": FakeFile(str(number).encode())})
            repository = repository_path(settings, app)
            objects = "\n".join(path.parent.name + path.name for path in repository.glob("objects/??/*"))
            place = str(repository / "objects" / "pack" / "pack")
            _git(repository, "pack-objects", "--quiet", place, stdin=objects.encode())
            _git(repository, "prune-packed")
    for pack in repository_path(settings, apps[1]).glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"no pack")
    with pytest.raises(SourceError, match=r"b\.git"):
        store.compact()
    first, spoilt, last = (
        len(list(repository_path(settings, app).glob("objects/pack/*.pack"))) for app in apps
    )
    assert first < 5
    assert spoilt == 11
    assert last < 5


def test_a_ref_is_removed_also_where_there_is_none(world: World) -> None:
    commit = world.commit(SHOP, FILES)
    world.store.move(SHOP, "refs/heads/fix/a", ZERO_COMMIT, commit)
    for _ in range(2):
        world.store.remove(SHOP, "refs/heads/fix/a")
        assert world.store.head(SHOP, "refs/heads/fix/a") == ZERO_COMMIT
    world.store.remove(AppName("nobody"), "refs/heads/fix/a")


def test_a_source_is_read_where_it_lies(world: World) -> None:
    commit = world.commit(SHOP, FILES)
    source = Source(AppName("shop-fix"), commit, SHOP)
    assert world.store.read(source, "app.py") == FILES["app.py"].content
    assert world.store.entries(source) == world.store.entries(Source(SHOP, commit))


def test_a_ref_moves_from_where_the_push_saw_it(world: World) -> None:
    first, other = world.commit(SHOP, FILES), world.commit(SHOP, {})
    world.store.check_move(SHOP, MAIN, ZERO_COMMIT, first)
    world.store.move(SHOP, MAIN, ZERO_COMMIT, first)
    assert world.store.head(SHOP, MAIN) == first
    world.store.move(SHOP, MAIN, first, other)
    assert world.store.head(SHOP, MAIN) == other


def test_a_move_may_be_made_twice(world: World) -> None:
    commit = world.commit(SHOP, FILES)
    world.store.move(SHOP, MAIN, ZERO_COMMIT, commit)
    world.store.move(SHOP, MAIN, ZERO_COMMIT, commit)
    assert world.store.head(SHOP, MAIN) == commit


def test_a_ref_that_moved_meanwhile_moves_on_only_to_a_descendant(world: World) -> None:
    first = world.commit(SHOP, {"a": FakeFile(b"1")})
    second = world.commit(SHOP, {"a": FakeFile(b"2")}, first)
    third = world.commit(SHOP, {"a": FakeFile(b"3")}, second)
    beside = world.commit(SHOP, {"b": FakeFile(b"1")}, first)
    world.store.move(SHOP, MAIN, ZERO_COMMIT, second)
    for check in (world.store.check_move, world.store.move):
        with pytest.raises(StaleError):
            check(SHOP, MAIN, first, beside)
    assert world.store.head(SHOP, MAIN) == second
    world.store.move(SHOP, MAIN, first, third)
    assert world.store.head(SHOP, MAIN) == third


def test_a_ref_below_is_another_ref(world: World) -> None:
    world.store.move(SHOP, f"{MAIN}/x", ZERO_COMMIT, world.commit(SHOP, FILES))
    assert world.store.head(SHOP, MAIN) == ZERO_COMMIT


def test_a_ref_that_is_gone_is_stale(world: World) -> None:
    first, second = world.commit(SHOP, {}), world.commit(SHOP, FILES)
    with pytest.raises(StaleError):
        world.store.move(SHOP, MAIN, first, second)


def test_of_many_moves_at_once_exactly_one_wins(world: World) -> None:
    commits = [world.commit(SHOP, {"n": FakeFile(b"%d" % n)}) for n in range(8)]
    won: list[CommitId] = []

    def move(commit: CommitId) -> None:
        try:
            world.store.move(SHOP, MAIN, ZERO_COMMIT, commit)
        except StaleError:
            return
        won.append(commit)

    threads = [threading.Thread(target=move, args=(commit,)) for commit in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [world.store.head(SHOP, MAIN)]


# --- of git alone -------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    GitStore(Settings(data_dir=tmp_path)).create(SHOP)
    return Settings(data_dir=tmp_path)


def test_a_branch_that_git_cannot_write_is_not_said_to_have_moved(settings: Settings) -> None:
    commit = _commit_by_git(settings, SHOP, FILES)
    refs = repository_path(settings, SHOP) / "refs" / "heads"
    (refs / "main.lock").touch()
    with pytest.raises(UnavailableError, match=r"main of shop cannot be moved: .*main\.lock"):
        GitStore(settings).move(SHOP, MAIN, ZERO_COMMIT, commit)
    (refs / "main.lock").unlink()
    GitStore(settings).move(SHOP, MAIN, ZERO_COMMIT, commit)
    assert GitStore(settings).head(SHOP, MAIN) == commit


def test_objects_are_found_packed_as_well_as_loose(settings: Settings) -> None:
    store = GitStore(settings)
    commit = _commit_by_git(settings, SHOP, FILES)
    store.keep(SHOP, JobId(1), commit)
    before = store.entries(Source(SHOP, commit))
    _git(repository_path(settings, SHOP), "gc", "--quiet", "--prune=now")
    assert store.entries(Source(SHOP, commit)) == before
    assert store.read(Source(SHOP, commit), "bin/deep/data") == b"x" * 5000


def test_what_git_writes_the_commit_into_differs_in_each_commit(settings: Settings) -> None:
    store = GitStore(settings)
    for text, same in (("* text\n", True), ("v export-subst\n", False)):
        files = {"v": FakeFile(b"$Format:%H$"), "sub/.gitattributes": FakeFile(text.encode())}
        first = _commit_by_git(settings, SHOP, files)
        second = _commit_by_git(settings, SHOP, files, first)
        trees = [list(store.tree(Source(SHOP, commit))) for commit in (first, second)]
        assert (trees[0] == trees[1]) is same


def test_an_archive_that_breaks_off_raises_after_what_could_be_read(settings: Settings) -> None:
    commit = _commit_by_git(settings, SHOP, FILES)
    repository = repository_path(settings, SHOP)
    blob = _git(repository, "rev-parse", f"{commit}:bin/deep/data")
    (repository / "objects" / blob[:2] / blob[2:]).unlink()
    with (
        pytest.raises(SourceError, match="git archive failed"),
        GitStore(settings).archive(Source(SHOP, commit)) as stream,
    ):
        stream.read()


def test_leaving_an_archive_by_an_error_ends_git_and_passes_the_error_on(settings: Settings) -> None:
    commit = _commit_by_git(settings, SHOP, {"big": FakeFile(bytes(4 << 20))})
    with pytest.raises(ZeroDivisionError), GitStore(settings).archive(Source(SHOP, commit)) as stream:
        _ = stream.read(10)[0] / 0


def test_the_repositorys_head_is_the_branch_that_deploys(settings: Settings) -> None:
    assert (repository_path(settings, SHOP) / "HEAD").read_text() == "ref: refs/heads/main\n"


@pytest.mark.parametrize("ref", ["refs/heads/*", "--exec=x", "main", "refs/heads/a b", "refs/../x"])
def test_what_is_no_ref_is_refused(settings: Settings, ref: str) -> None:
    with pytest.raises(SourceError):
        GitStore(settings).head(SHOP, ref)
