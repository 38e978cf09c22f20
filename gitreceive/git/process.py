"""Every git process is started here: a list of words, an environment of its own, a time limit."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from gitreceive.config import process_environment
from gitreceive.errors import SourceError, UnavailableError

_QUICK = 60.0  # seconds for a call that only looks at, or moves, a ref


def git_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What git sees: PATH, a plain locale, no settings but the repository's and those on its command line, and ``more``."""
    return {
        "PATH": process_environment().get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        **(more or {}),
    }


def git_command(arguments: Sequence[str], repository: Path | None = None) -> list[str]:
    """The command line of one git call. A repository is named by ``--git-dir``: git never looks for one."""
    return ["git", *([f"--git-dir={repository}"] if repository else []), *arguments]


def run_git(
    arguments: Sequence[str],
    *,
    repository: Path | None = None,
    stdin: bytes = b"",
    accept: tuple[int, ...] = (0,),
    timeout: float = _QUICK,
) -> subprocess.CompletedProcess[bytes]:
    """Run git to its end, output in memory. Raises SourceError on another exit code, UnavailableError without git or answer."""
    try:
        done = subprocess.run(
            git_command(arguments, repository),
            input=stdin,
            capture_output=True,
            env=git_environment(),
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"git {arguments[0]} gave no answer in {timeout:.0f} s") from error
    except OSError as error:
        raise UnavailableError(f"git cannot be run: {error}", hint="apt install git") from error
    if done.returncode not in accept:
        raise _failed(arguments, done.returncode, done.stderr)
    return done


def git_at(repository: Path, *arguments: str) -> bytes:
    """What git printed. Raises as ``run_git`` does."""
    return run_git(arguments, repository=repository).stdout


@contextmanager
def streaming(arguments: Sequence[str], repository: Path, *, whole: bool = False) -> Iterator[BinaryIO]:
    """Git's output as it comes. ``whole``: what the reader left is read on leaving, and a failure of git is raised."""
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                git_command(arguments, repository),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=git_environment(),
            )
        except OSError as error:
            raise UnavailableError(f"git cannot be run: {error}", hint="apt install git") from error
        with process:
            stream = cast("IO[bytes]", process.stdout)
            try:
                yield cast("BinaryIO", stream)
                if whole:
                    while stream.read(1 << 20):
                        pass
            except BaseException:
                process.kill()
                raise
            if not whole:
                process.kill()
        if whole and process.returncode:
            complaints.seek(0)
            raise _failed(arguments, process.returncode, complaints.read())


def _failed(arguments: Sequence[str], code: int, stderr: bytes) -> SourceError:
    said = stderr.decode("utf-8", "replace").strip().splitlines()
    verb = next((word for word in arguments if not word.startswith("-") and "=" not in word), "")
    return SourceError(f"git {verb} failed ({code}): {said[-1] if said else 'without a word'}")
