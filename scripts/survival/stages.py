"""Where in a job's life a kill comes: eight stages, told by the ledger and the repositories as they are on the disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from scripts.survival.looking import head, reading, ref
from tests.crash_points import POINTS
from tests.e2e.world import Server

STAGES = (
    "receiving",  # what is pushed lies in quarantine; there is no job
    "queued",
    "building",
    "publishing",
    "releasing",
    "rolling out",
    "recording",  # it has come about, and the ledger does not say so yet
    "ended",  # it has ended, and its commit is still held
)
IDLE = "idle"

_BEGINS = {
    "ledger.reviews begins": "receiving",
    "ledger.enqueue done": "queued",
    "ledger.advance building done": "building",
    "ledger.advance publishing done": "publishing",
    "ledger.advance releasing done": "releasing",
    "ledger.advance rolling_out done": "rolling out",
    "sources.move done": "recording",
    "ledger.go_live done": "ended",
    "target.put_back begins": "rolling out",
    "ledger.end begins": "recording",
    "ledger.end done": "ended",
}


def stages_of_points() -> dict[str, str]:
    """Each named point lies in the stage that the last point before it, or it itself, has begun."""
    found, stage = {}, STAGES[0]
    for point in POINTS:
        stage = _BEGINS.get(point, stage)
        found[point] = stage
    return found


def under_way(server: Server) -> frozenset[str]:
    """The stages in which something is; none where nothing is under way."""
    repositories = server.folder / "data" / "repos"
    found = set(_quarantines(repositories))
    with closing(reading(server)) as book:
        rows = book.execute("SELECT id, app, state, new FROM jobs WHERE ended_at IS NULL").fetchall()
        found.update(_stage(repositories, row) for row in rows)
        recent = book.execute("SELECT id, app FROM jobs WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 20")
        found.update("ended" for row in recent if _held(repositories, row))
    return frozenset(found)


def most_advanced(stages: frozenset[str]) -> str:
    return max(stages, key=STAGES.index, default=IDLE)


def _quarantines(repositories: Path) -> Iterator[str]:
    yield from ("receiving" for _ in repositories.glob("*.git/objects/*incoming-*"))


def _stage(repositories: Path, row: sqlite3.Row) -> str:
    state = str(row["state"]).replace("_", " ")
    if state == "rolling out" and row["new"] and head(repositories, row["app"]) == row["new"]:
        return "recording"
    return state


def _held(repositories: Path, row: sqlite3.Row) -> bool:
    return bool(ref(repositories / f"{row['app']}.git", f"refs/gitreceive/builds/{row['id']}"))
