"""The server's disk is full, has no room for one file more, or is read-only."""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gitreceive.errors import UnavailableError
from gitreceive.model import Stack
from gitreceive.room import Reserve, require_room
from scripts.survival.invariants import complaints
from scripts.survival.looking import look
from tests.e2e.world import Clone, Server, run, running, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")

_RESERVED = 4 << 20
_FILES = 5000
_DOCKERFILE = """\
ARG GITRECEIVE_RUN_IMAGE
FROM ${GITRECEIVE_RUN_IMAGE}
WORKDIR /srv
COPY . .
RUN python3 slow.py
USER 1000
CMD ["python3", "serve.py"]
"""
_SLOW = """\
import time
for n in range({lines}):
    print("building", n, "x" * 20000, flush=True)
    time.sleep(0.05)
"""
_SERVE = """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["GITRECEIVE_COMMIT"].encode() + b"\\n")

HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    place.mkdir(parents=True)
    run(
        [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={megabytes}m,nr_inodes={_FILES},mode=0700",
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


def take_all_files(place: Path) -> None:
    """It can hold not one more than it does."""
    seen = os.statvfs(place)
    run(["mount", "-o", f"remount,nr_inodes={seen.f_files - seen.f_favail}", str(place)]).ok()


@pytest.mark.docker
def test_a_full_disk_refuses_pushes_ends_what_runs_and_is_forgiven(tmp_path: Path, stack: Stack) -> None:
    settings = {"GITRECEIVE_RESERVED_BYTES": str(_RESERVED), "GITRECEIVE_BUILD_EGRESS": "none"}
    server = Server(tmp_path, "docker", settings)
    images = ("--build-image", str(stack.build), "--run-image", str(stack.run))
    with small_disk(tmp_path / "data", 32) as disk:
        server.cli("stack", "create", stack.name, *images).ok()
        with running(server):
            assert server.process
            clone = _clone(server)
            wait_until((disk / "reserve").exists, "room is held back")

            with clone.start_push() as push:
                wait_until(lambda: b"building 0" in _log(disk, 1), "the build runs")
                filler = fill(disk)
                said = push.communicate(timeout=120)[1]
            assert push.returncode != 0, said
            assert "No space left on device" in clone.builds()[0]["reason"]
            assert b"\n !     the log" in _log(disk, 1), "the reason has a line of its own"
            assert not clone.remote_head()
            clone.push().failed().says("the server's disk is full", "have to stay free", "gitreceive gc")
            assert len(clone.builds()) == 1, "what was refused at the door made no build"

            filler.unlink()
            clone.commit("Say less", {"slow.py": _SLOW.format(lines=20)})
            clone.push().ok()
            wait_until((disk / "reserve").exists, "room is held back again")

            before = clone.remote_head()
            clone.commit("Another", {"note.txt": _note()})
            with clone.start_push() as push:
                wait_until(lambda: b"building 0" in _log(disk, 3), "the build runs")
                take_all_files(disk)
                said = push.communicate(timeout=120)[1]
            newest = clone.builds()[0]
            assert newest["state"] == ("failed" if push.returncode else "live"), said
            assert newest["reason"] or not push.returncode
            assert clone.remote_head() == (before if push.returncode else clone.head)
            clone.commit("A third", {"note.txt": _note()})
            clone.push().failed().says("the server's disk is full", "more files (inodes)")

            run(["mount", "-o", f"remount,nr_inodes={_FILES}", str(disk)]).ok()
            clone.push().ok()
            assert server.process.poll() is None
            server.cli("gc").ok()
            told = {"shop": frozenset({clone.head})}
            assert complaints(look(server, told, frozenset())) == ()
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
        files = _number(disk)
        filler = fill(disk)

        reserve.see()
        (disk / "log").write_bytes(b"x" * (held // 2))
        reserve.see()
        (disk / "ledger").write_bytes(b"x" * (held // 4))

        filler.unlink()
        reserve.see()
        assert (disk / "reserve").stat().st_blocks * 512 == held

        take_all_files(disk)
        with pytest.raises(OSError, match="No space left"):
            (disk / "lock").touch()
        reserve.see()
        (disk / "lock").touch()
        (disk / "lock").unlink()

        run(["mount", "-o", f"remount,nr_inodes={_FILES}", str(disk)]).ok()
        reserve.see()
        assert _number(disk) == files


def _clone(server: Server) -> Clone:
    owner = server.developer("alice", admin=True)
    owner.ssh("apps", "create", "shop").ok()
    clone = Clone(owner, "shop", server.folder / "clone-shop")
    clone.folder.mkdir()
    clone.git("init", "--quiet", "--initial-branch", "main").ok()
    clone.git("remote", "add", "deploy", clone.url).ok()
    clone.commit(
        "Begin",
        {
            "Dockerfile": _DOCKERFILE,
            "slow.py": _SLOW.format(lines=400),
            "serve.py": _SERVE,
            "note.txt": _note(),
        },
    )
    return clone


def _note() -> str:
    """Docker has no step with it already."""
    return secrets.token_hex()


def _log(disk: Path, job: int) -> bytes:
    log = disk / "logs" / f"{job}.log"
    return log.read_bytes() if log.exists() else b""


def _number(disk: Path) -> int:
    """Of the files that are held back."""
    return len(list((disk / "reserve-files").iterdir()))
