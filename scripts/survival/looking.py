"""Everything that the invariants speak of, read from the ledger, the repositories, the data folder, the engine and the cluster."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from gitreceive.model import AppSettings
from scripts.survival.invariants import AppFacts, Instance, JobFacts, Seen
from scripts.survival.on_docker import OnDocker
from scripts.survival.on_kubernetes import OnKubernetes
from tests.e2e.world import Server, fetch, run

_ANSWER_SECONDS = 60.0


def look(server: Server, accepted: Mapping[str, frozenset[str]], begun: frozenset[int]) -> Seen:
    """As it is now."""
    data = server.folder / "data"
    on_docker = OnDocker(server)
    world = OnKubernetes(server) if server.target == "kubernetes" else on_docker
    with closing(reading(server)) as book:
        names = [row["name"] for row in book.execute("SELECT name FROM apps ORDER BY name")]
        apps = tuple(_app(server, book, name, world.running(name)) for name in names)
        jobs = tuple(_job(data, row) for row in book.execute(f"{_JOBS} ORDER BY jobs.id"))
        strays = {*_stray_files(data), *_stray_refs(data, book, names)}
    strays |= {*on_docker.strays_of_builds(), *world.strays(apps)}
    return Seen(jobs, apps, accepted, begun, tuple(sorted(strays)))


def reading(server: Server) -> sqlite3.Connection:
    """The ledger, to be looked at."""
    book = sqlite3.connect(f"file:{server.folder}/data/ledger.db?mode=ro", uri=True, timeout=30)
    book.row_factory = sqlite3.Row
    return book


def states(server: Server) -> dict[int, str]:
    """The builds that have not ended, and where they are."""
    with closing(reading(server)) as book:
        rows = book.execute("SELECT id, state FROM jobs WHERE ended_at IS NULL ORDER BY id")
        return {row["id"]: row["state"] for row in rows}


def waiting(server: Server, app: str) -> int:
    """How many builds of the app have not ended."""
    with closing(reading(server)) as book:
        query = "SELECT count(*) FROM jobs WHERE app = ? AND ended_at IS NULL"
        return int(book.execute(query, (app,)).fetchone()[0])


def glance(server: Server, accepted: Mapping[str, frozenset[str]], begun: frozenset[int]) -> Seen:
    """What can be told of a server that lies dead, from its disk alone: no log, and nothing of what runs."""
    repositories = server.folder / "data" / "repos"
    with closing(reading(server)) as book:
        names = [row["name"] for row in book.execute("SELECT name FROM apps ORDER BY name")]
        made = 'SELECT number, "commit" FROM releases WHERE app = ? AND live_at IS NOT NULL ORDER BY number'
        apps = []
        for name in names:
            rows = book.execute(made, (name,)).fetchall()
            numbers, commit = tuple(row["number"] for row in rows), rows[-1]["commit"] if rows else ""
            apps.append(AppFacts(name, numbers, commit, head=head(repositories, name)))
        jobs = tuple(_bare(row) for row in book.execute(f"{_JOBS} ORDER BY jobs.id"))
    return Seen(jobs, tuple(apps), accepted, begun)


_JOBS = "SELECT jobs.*, releases.number FROM jobs LEFT JOIN releases ON releases.job = jobs.id"


def _bare(row: sqlite3.Row) -> JobFacts:
    return JobFacts(row["id"], row["app"], row["state"], row["reason"], row["new"] or "", row["number"], "")


def _job(data: Path, row: sqlite3.Row) -> JobFacts:
    log = data / "logs" / f"{row['id']}.log"
    said = log.read_text(encoding="utf-8") if log.exists() else ""
    return replace(_bare(row), log=said)


def _app(server: Server, book: sqlite3.Connection, name: str, running: tuple[Instance, ...]) -> AppFacts:
    made = book.execute(
        "SELECT * FROM releases WHERE app = ? AND live_at IS NOT NULL ORDER BY number", (name,)
    ).fetchall()
    row = book.execute(
        "SELECT *, held_until > strftime('%Y-%m-%dT%H:%M:%f', 'now') AS held FROM apps WHERE name = ?",
        (name,),
    ).fetchone()
    held = f"held until {row['held_until']}" if row["held"] else ""
    branch = head(server.folder / "data" / "repos", name)
    if not made:
        return AppFacts(name, head=branch, held=held, running=running)
    image = json.loads(made[-1]["image"])
    scale = {"web": 1, **AppSettings.parse(json.loads(row["settings"])).formation.scale}
    declared = {process["name"] for process in image["processes"]} - {"release"}
    wanted = {process: scale.get(process, 0) for process in declared}
    web = bool(wanted.get("web"))
    return AppFacts(
        name,
        tuple(release["number"] for release in made),
        made[-1]["commit"],
        image["ref"].partition("@")[2],
        wanted,
        branch,
        held,
        running,
        _answer(server, name) if web else None,
        f"{made[-1]['commit']}\n" if web else None,
    )


def head(repositories: Path, app: str) -> str:
    """Where the app's deploy branch is; empty where it is nowhere."""
    return ref(repositories / f"{app}.git", "refs/heads/main")


def ref(repository: Path, name: str) -> str:
    """Where it is, in a file of its own or packed with others (gitrepository-layout(5)); empty where it is nowhere. No program is started."""
    for _ in range(2):  # one that is packed in between is gone from the first place, and in the second
        with suppress(FileNotFoundError):
            return (repository / name).read_text().strip()
        with suppress(FileNotFoundError):
            for line in (repository / "packed-refs").read_text().splitlines():
                commit, _, found = line.partition(" ")
                if found == name:
                    return commit
    return ""


def _answer(server: Server, name: str) -> str | None:
    address = server.cli("open", "--app", name).out.strip()
    try:
        return fetch(address, patience=_ANSWER_SECONDS) if address else None
    except (AssertionError, OSError):
        return None


def _stray_files(data: Path) -> Iterator[str]:
    for pattern in ("repos/*.git/objects/incoming-*", "repos/*.git/objects/tmp_objdir-*"):
        yield from (f"quarantine {path}" for path in data.glob(pattern))
    yield from (f"repository {path}" for path in data.glob("repos/.*"))
    yield from (f"lock {path}" for path in data.glob("repos/*.git/**/*.lock"))
    for pattern in ("tmp/builds/*", "tmp/gitreceive-*"):
        yield from (f"spool {path}" for path in data.glob(pattern))
    yield from (f"log {path}" for path in data.glob("logs/*.tail*"))


def _stray_refs(data: Path, book: sqlite3.Connection, names: list[str]) -> Iterator[str]:
    ended = {str(row["id"]) for row in book.execute("SELECT id FROM jobs WHERE ended_at IS NOT NULL")}
    for name in names:
        command = ["git", "--git-dir", str(data / "repos" / f"{name}.git"), "for-each-ref"]
        kept = run([*command, "--format=%(refname:lstrip=3)", "refs/gitreceive/builds/"]).out.split()
        yield from (f"ref of build {number} in {name}" for number in kept if number in ended)
