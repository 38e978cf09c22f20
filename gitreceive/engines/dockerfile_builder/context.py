"""What Docker gets of a source: its build context."""

import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

from docker.utils.build import PatternMatcher

from gitreceive.buildpacks.dockerfile import DOCKERFILE
from gitreceive.cancellation import Cancellation
from gitreceive.errors import BuildError

_PROCFILE = "Procfile"
_DOCKERIGNORE = ".dockerignore"
_CHUNK = 1 << 20
_TEXT_LIMIT = 1 << 20


@dataclass(frozen=True)
class Context:
    """A tar to send, and two of the source's files; empty where there is none."""

    archive: IO[bytes]
    dockerfile: str
    procfile: bytes


@contextmanager
def spooled(archive: AbstractContextManager[BinaryIO], cancel: Cancellation) -> Iterator[Context]:
    """The source's tar in a file, less what ``.dockerignore`` names: with the classic builder that is the client's work.

    Raises BuildError where the tar cannot be read, CanceledError.
    """
    with tempfile.TemporaryFile() as spool:
        with archive as source:
            while chunk := source.read(_CHUNK):
                cancel.raise_if_requested()
                spool.write(chunk)
        try:
            texts = _texts(spool)
            with _sent(spool, texts[_DOCKERIGNORE], cancel) as sent:
                sent.seek(0)
                yield Context(sent, texts[DOCKERFILE].decode("utf-8", "replace"), texts[_PROCFILE])
        except tarfile.TarError as error:
            raise BuildError(f"the source's archive cannot be read: {error}") from error


def _texts(spool: IO[bytes]) -> dict[str, bytes]:
    found = {DOCKERFILE: b"", _PROCFILE: b"", _DOCKERIGNORE: b""}
    spool.seek(0)
    with tarfile.open(fileobj=spool, mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name in found and member.isfile() else None
            if content is not None:
                found[member.name] = content.read(_TEXT_LIMIT)
    return found


@contextmanager
def _sent(spool: IO[bytes], dockerignore: bytes, cancel: Cancellation) -> Iterator[IO[bytes]]:
    if not dockerignore.strip():
        yield spool
        return
    ignored = _ignored(dockerignore)
    spool.seek(0)
    with tempfile.TemporaryFile() as rest:
        with (
            tarfile.open(fileobj=spool, mode="r:") as whole,
            tarfile.open(fileobj=rest, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for member in whole:
                cancel.raise_if_requested()
                if not ignored(member.name):
                    tar.addfile(member, whole.extractfile(member) if member.isfile() else None)
        yield rest


def _ignored(dockerignore: bytes) -> Callable[[str], bool]:
    """Docker's rules: the last pattern that fits decides, and the Dockerfile itself is always sent."""
    lines = (line.strip() for line in dockerignore.decode("utf-8-sig", "replace").splitlines())
    matcher: Any = PatternMatcher([line for line in lines if line and not line.startswith("#")])
    kept = {DOCKERFILE, _DOCKERIGNORE}
    return lambda name: name not in kept and bool(matcher.matches(name))
