"""Everything that the invariants speak of, read from the ledger, the repositories, the data folder and the engine."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import docker

from gitreceive.engines.docker_target.containers import owner
from scripts.survival.invariants import AppFacts, Instance, JobFacts, Seen
from tests.e2e.world import Server, fetch, run

_ANSWER_SECONDS = 20.0


def look(server: Server, accepted: Mapping[str, frozenset[str]], begun: frozenset[int]) -> Seen:
    """As it is now; on the docker target."""
    data = server.folder / "data"
    with closing(reading(server)) as book, closing(engine_of(server)) as engine:
        containers = engine.api.containers(all=True, filters={"label": f"gitreceive.data={owner(data)}"})
        names = [row["name"] for row in book.execute("SELECT name FROM apps ORDER BY name")]
        apps = tuple(_app(server, book, name, containers) for name in names)
        jobs = tuple(_job(data, row) for row in book.execute(f"{_JOBS} ORDER BY jobs.id"))
        strays = (*_stray_files(data), *_stray_refs(data, book, names))
        strays += (*_stray_containers(containers, apps), *_stray_volumes(engine, data, names))
    return Seen(jobs, apps, accepted, begun, strays)


def engine_of(server: Server) -> docker.DockerClient:
    """The Docker engine that it works with."""
    host = server.env.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    return docker.DockerClient(base_url=host, timeout=30)


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


_JOBS = "SELECT jobs.*, releases.number FROM jobs LEFT JOIN releases ON releases.job = jobs.id"


def _job(data: Path, row: sqlite3.Row) -> JobFacts:
    log = data / "logs" / f"{row['id']}.log"
    said = log.read_text(encoding="utf-8") if log.exists() else ""
    return JobFacts(row["id"], row["app"], row["state"], row["reason"], row["new"] or "", row["number"], said)


def _app(server: Server, book: sqlite3.Connection, name: str, containers: list[Any]) -> AppFacts:
    made = book.execute(
        "SELECT * FROM releases WHERE app = ? AND live_at IS NOT NULL ORDER BY number", (name,)
    ).fetchall()
    row = book.execute(
        "SELECT *, held_until > strftime('%Y-%m-%dT%H:%M:%f', 'now') AS held FROM apps WHERE name = ?",
        (name,),
    ).fetchone()
    serving = [c for c in containers if c["Labels"].get("gitreceive.app") == name and _serves(c)]
    held = f"held until {row['held_until']}" if row["held"] else ""
    if not made:
        return AppFacts(name, head=_head(server, name), held=held, running=tuple(map(_instance, serving)))
    image = json.loads(made[-1]["image"])
    declared = {process["name"] for process in image["processes"]} - {"release"}
    return AppFacts(
        name,
        tuple(release["number"] for release in made),
        made[-1]["commit"],
        image["ref"].partition("@")[2],
        {process: int(process == "web") for process in declared},
        _head(server, name),
        held,
        tuple(map(_instance, serving)),
        _answer(server, name),
        f"{made[-1]['commit']}\n",
    )


def _head(server: Server, name: str) -> str:
    repository = server.folder / "data" / "repos" / f"{name}.git"
    return run(["git", "--git-dir", str(repository), "rev-parse", "--verify", "refs/heads/main"]).out.strip()


def _answer(server: Server, name: str) -> str | None:
    address = server.cli("open", "--app", name).out.strip()
    try:
        return fetch(address, patience=_ANSWER_SECONDS) if address else None
    except (AssertionError, OSError):
        return None


def _serves(container: Mapping[str, Any]) -> bool:
    labels = container["Labels"]
    return bool(labels.get("gitreceive.role") == "service" and container["State"] == "running")


def _instance(container: Mapping[str, Any]) -> Instance:
    labels = container["Labels"]
    digest = labels["gitreceive.image"].partition("@")[2]
    return Instance(labels["gitreceive.process"], int(labels["gitreceive.release"]), digest)


def _stray_files(data: Path) -> Iterator[str]:
    for pattern in ("repos/*.git/objects/incoming-*", "repos/*.git/objects/tmp_objdir-*"):
        yield from (f"quarantine {path}" for path in data.glob(pattern))
    yield from (f"repository {path}" for path in data.glob("repos/.*"))
    yield from (f"lock {path}" for path in data.glob("repos/*.git/**/*.lock"))
    yield from (f"spool {path}" for path in data.glob("tmp/builds/*"))
    yield from (f"log {path}" for path in data.glob("logs/*.tail*"))


def _stray_refs(data: Path, book: sqlite3.Connection, names: list[str]) -> Iterator[str]:
    ended = {str(row["id"]) for row in book.execute("SELECT id FROM jobs WHERE ended_at IS NOT NULL")}
    for name in names:
        command = ["git", "--git-dir", str(data / "repos" / f"{name}.git"), "for-each-ref"]
        kept = run([*command, "--format=%(refname:lstrip=3)", "refs/gitreceive/builds/"]).out.split()
        yield from (f"ref of build {number} in {name}" for number in kept if number in ended)


def _stray_containers(containers: list[Any], apps: tuple[AppFacts, ...]) -> Iterator[str]:
    newest = {app.name: max(app.releases, default=0) for app in apps}
    for container in containers:
        labels, name = container["Labels"], container["Names"][0].lstrip("/")
        if "gitreceive.network" in labels and container["State"] == "running":
            continue  # a network that the server keeps for its builds, and that ends with it
        if "gitreceive.job" in labels:
            yield f"build container {name}"
        elif "gitreceive.network" in labels:
            continue  # held for the next build, and gone with the server
        elif labels.get("gitreceive.role") != "service":
            yield f"container {name}"
        elif newest.get(labels["gitreceive.app"]) != int(labels["gitreceive.release"]) or container[
            "State"
        ] not in {"running", "created"}:
            yield f"container {name} ({container['State']})"


def _stray_volumes(engine: docker.DockerClient, data: Path, names: list[str]) -> Iterator[str]:
    """Caches, and what apps mount, of apps that there are not."""
    ours = owner(data)
    known = {f"gitreceive-cache-{name}-{ours}" for name in names}
    for volume in engine.volumes.list():
        cache = volume.name.startswith("gitreceive-cache-") and volume.name.endswith(f"-{ours}")
        mounted = volume.name.startswith(f"gitreceive.{ours}.")
        if (cache and volume.name not in known) or (mounted and volume.name.split(".")[2] not in names):
            yield f"volume {volume.name}"
