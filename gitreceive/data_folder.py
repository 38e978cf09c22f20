"""The server's data folder: made when it is first wanted, and worked on by one server at a time."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitreceive.config import Settings, process_environment, replace_environment
from gitreceive.errors import ConflictError, UnavailableError


@contextmanager
def held_by(settings: Settings, holder: str) -> Iterator[str]:
    """Inside, one server works on it and no other. The holder before, which has ended then, and may have ended no job; empty where
    there was none. Raises ConflictError.
    """
    make(settings)
    path = settings.data_dir / "server.lock"
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConflictError(
                f"a server already works on {settings.data_dir}", hint="stop it, or set GITRECEIVE_DATA_DIR"
            ) from None
        lock.seek(0)
        before = lock.read().strip()
        lock.truncate(0)
        lock.write(f"{holder}\n")
        lock.flush()
        yield before


def keep_temporary_files(settings: Settings) -> None:
    """Have this process and those that it starts write what is for a moment only into ``tmp`` of the data folder, which is emptied: a server that was
    killed removes nothing, neither what it copied nor the keys that a client library unpacked. Only while the folder is held.

    Raises UnavailableError where it cannot be made.
    """
    folder = settings.data_dir / "tmp"
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UnavailableError(
            f"{folder} cannot be emptied: {error.strerror}", hint="see to the disk"
        ) from error
    replace_environment({**process_environment(), "TMPDIR": str(folder)})
    tempfile.tempdir = str(folder)


def require_server(settings: Settings) -> None:
    """Raise UnavailableError unless a server works on the data folder: what is enqueued would wait for one."""
    with suppress(OSError), (settings.data_dir / "server.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    raise UnavailableError(
        f"no server works on {settings.data_dir}, so nobody would do it", hint="start it: gitreceive server"
    )


def make(settings: Settings) -> None:
    """Raises UnavailableError where the data folder can be neither found nor made."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UnavailableError(
            f"the data folder {settings.data_dir} cannot be made: {error.strerror}",
            hint="set GITRECEIVE_DATA_DIR",
        ) from error
