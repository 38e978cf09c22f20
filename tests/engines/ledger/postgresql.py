"""A PostgreSQL of the tests' own: nothing of it outlives them, and nobody reaches it from elsewhere."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

_NOBODY = 65534  # PostgreSQL refuses to run as root
_PATIENCE = 60.0


@contextmanager
def serving(programs: Path) -> Iterator[str]:
    """The URL of an empty database, served on a unix socket by the ``postgres`` in ``programs``, …/usr/lib/postgresql/15/bin."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short, for the socket's path
    try:
        programs = _within_reach(programs, folder)
        os.chown(folder, *_owner())
        made = [
            *_as_nobody(),
            str(programs / "initdb"),
            "-D",
            str(folder / "data"),
            "-U",
            "test",
            "-A",
            "trust",
        ]
        subprocess.run(
            [*made, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        serve = [str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-h", "", "-F"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([*_as_nobody(), *serve], stdout=log, stderr=log, cwd=folder)
        try:
            yield _database(folder, server)
        finally:
            server.terminate()
            server.wait(_PATIENCE)
    finally:
        shutil.rmtree(folder)


def _within_reach(programs: Path, folder: Path) -> Path:
    """The same where nobody may run them: a home's cache is its owner's alone. They find what they need relative to themselves."""
    root = programs.parents[4]
    if root == Path("/") or os.geteuid() != 0:
        return programs
    version = programs.relative_to(root / "usr/lib").parent
    for part in ("lib", "share"):
        shutil.copytree(root / "usr" / part / version, folder / "usr" / part / version)
    return folder / programs.relative_to(root)


def _database(folder: Path, server: "subprocess.Popen[bytes]") -> str:
    place = f"postgresql+psycopg://test@/{{}}?host={folder}"
    engine = create_engine(place.format("postgres"), isolation_level="AUTOCOMMIT")
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("CREATE DATABASE gitreceive_test"))
            break
        except OperationalError:
            said = (folder / "log").read_text(errors="replace")
            assert server.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.1)
    engine.dispose()
    return place.format("gitreceive_test")


def _as_nobody() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]


def _owner() -> tuple[int, int]:
    return (_NOBODY, _NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
