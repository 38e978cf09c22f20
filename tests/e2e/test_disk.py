"""The server's disk is full, has no room for one file more, or is read-only."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gitreceive.errors import UnavailableError
from gitreceive.model import Stack
from gitreceive.room import Reserve, require_room
from tests.e2e.world import SAMPLES, Clone, Server, run, running, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")

_RESERVED = 4 << 20
_TICKS = "import time\nfor n in range(600):\n    print('migrating', n, 'x' * 20000, flush=True)\n    time.sleep(0.05)\n"


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    place.mkdir(parents=True)
    run(
        [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={megabytes}m,nr_inodes=5000,mode=0700",
            "small-disk",
            str(place),
        ]
    ).ok()
    try:
        yield place
    finally:
        run(["umount", "--lazy", str(place)]).ok()


def fill(place: Path) -> Path:
    """All that is free, to the last byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * (1 << 16))
        except OSError:
            pass
    return filler


@pytest.mark.docker
def test_a_full_disk_refuses_pushes_ends_what_runs_and_is_forgiven(tmp_path: Path, stack: Stack) -> None:
    server = Server(tmp_path, "docker", {"GITRECEIVE_RESERVED_BYTES": str(_RESERVED)})
    with small_disk(tmp_path / "data", 32) as disk:
        images = ("--build-image", str(stack.build), "--run-image", str(stack.run))
        server.cli("stack", "create", stack.name, *images).ok()
        with running(server):
            assert server.process
            process = server.process.pid
            clone = server.developer("alice", admin=True).creates("shop", "dockerfile")
            clone.push().ok()
            wait_until((disk / "reserve").exists, "room is held back")

            clone.commit(
                "Migrate for long", {"tick.py": _TICKS, "Procfile": "release: python3 /srv/tick.py\n"}
            )
            _copy_all(clone)
            before = clone.remote_head()
            with clone.start_push() as push:
                wait_until(lambda: "migrating" in _last_log(disk), "the release command runs")
                filler = fill(disk)
                said = push.communicate(timeout=120)[1]
            assert push.returncode != 0, said
            wait_until(lambda: clone.builds()[0]["state"] == "failed", "the build has ended")
            assert "No space left on device" in clone.builds()[0]["reason"]
            assert clone.remote_head() == before
            assert "version 1" in clone.get()

            clone.push().failed().says("the server's disk is full", "have to stay free", "gitreceive gc")
            clone.owner.ssh("builds", "list", "--app", "shop").ok()
            assert len(clone.builds()) == 2, "what was refused at the door made no build"

            filler.unlink()
            clone.commit("Migrate no more", {"Procfile": "", "note.txt": "room again"})
            clone.replace("serve.py", 'VERSION = "1"', 'VERSION = "2"')
            clone.push().ok()
            assert "version 2" in clone.get()
            assert server.process.pid == process
            wait_until((disk / "reserve").exists, "room is held back again")

            run(["mount", "-o", "remount,nr_inodes=1100", str(disk)]).ok()
            clone.replace("serve.py", 'VERSION = "2"', 'VERSION = "3"')
            clone.push().failed().says("more files (inodes)")
            run(["mount", "-o", "remount,nr_inodes=5000", str(disk)]).ok()
            clone.push().ok()
        with closing(sqlite3.connect(disk / "ledger.db")) as ledger:
            assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_read_only_disk_takes_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 16) as disk:
        require_room(disk, _RESERVED)
        run(["mount", "-o", "remount,ro", str(disk)]).ok()
        with pytest.raises(UnavailableError, match="read-only"):
            require_room(disk, _RESERVED)


def test_the_reserve_is_given_up_when_it_is_needed_and_taken_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 16) as disk:
        reserve = Reserve(disk, _RESERVED)
        reserve.see()
        held = (disk / "reserve").stat().st_blocks * 512
        assert held == _RESERVED // 8
        filler = fill(disk)

        reserve.see()
        (disk / "log").write_bytes(b"x" * (held // 2))
        reserve.see()
        (disk / "ledger").write_bytes(b"x" * (held // 4))

        filler.unlink()
        reserve.see()
        assert (disk / "reserve").stat().st_blocks * 512 == held


def _copy_all(clone: Clone) -> None:
    dockerfile = (SAMPLES / "dockerfile" / "Dockerfile").read_text()
    clone.commit("Take all along", {"Dockerfile": dockerfile.replace("COPY serve.py .", "COPY . .")})


def _last_log(data: Path) -> str:
    logs = sorted((data / "logs").glob("*.log"), key=lambda path: int(path.stem))
    return logs[-1].read_text(errors="replace") if logs else ""
