"""The words of gitreceive as frozen, typed values. What is parsed here is never handled raw behind it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, NewType, Self

from gitreceive.errors import UsageError

JobId = NewType("JobId", int)

_APP_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_USER_NAME = re.compile(r"[a-z][a-z0-9._-]{0,38}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_PROCESS_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?", re.ASCII)
_BUILDPACK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", re.ASCII)


class AppName(str):
    """A DNS label (RFC 1123), at most 40 characters."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is an app name, as it is: nothing is trimmed or folded."""
        if not _APP_NAME.fullmatch(text):
            raise UsageError(
                f"{text[:60]!r} is not an app name",
                hint="use 1 to 40 lower-case letters, digits and hyphens, and no hyphen at either end",
            )
        return cls(text)


class UserName(str):
    """Starts with a letter; lower-case letters, digits, dot, underscore and hyphen; at most 39 characters."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is a user name."""
        if not _USER_NAME.fullmatch(text):
            raise UsageError(
                f"{text[:60]!r} is not a user name",
                hint="start with a lower-case letter, then up to 38 of a-z, 0-9, '.', '_' and '-'",
            )
        return cls(text)


class CommitId(str):
    """A full, resolved object id: 40 lower-case hexadecimal digits."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is a full object id."""
        if not _COMMIT.fullmatch(text):
            raise UsageError(f"{text[:60]!r} is not a full commit id", hint="use all 40 hexadecimal digits")
        return cls(text)

    @property
    def is_zero(self) -> bool:
        """Git's way of saying that there is no commit on this side: the ref is created or deleted."""
        return self == ZERO_COMMIT

    @property
    def short(self) -> str:
        return self[:7]


ZERO_COMMIT = CommitId("0" * 40)


class Digest(str):
    """``sha256:`` and 64 hexadecimal digits (OCI image spec, descriptor digests)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is a sha256 digest."""
        if not _DIGEST.fullmatch(text):
            raise UsageError(f"{text[:90]!r} is not a sha256 digest")
        return cls(text)

    @property
    def short(self) -> str:
        return self[7:19]


class Secret:
    """A value that must not be seen: it prints as ``***``. ``reveal`` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


# --- people and apps ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class User:
    name: UserName
    admin: bool


@dataclass(frozen=True)
class PublicKey:
    """One SSH key of a user. ``blob`` is the key itself, base64 as in authorized_keys (RFC 4253, 6.6)."""

    user: UserName
    algorithm: str
    blob: str
    comment: str
    fingerprint: str  # SHA256:… as ssh-keygen -l prints it
    added_at: datetime


@dataclass(frozen=True)
class App:
    name: AppName
    owner: UserName
    branch: str  # the branch whose push deploys, without refs/heads/
    created_at: datetime

    @property
    def deploy_ref(self) -> str:
        return f"refs/heads/{self.branch}"


# --- a push and its job ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PushOptions:
    """What ``git push -o`` can say."""

    nocache: bool = False
    buildpack: str | None = None

    @classmethod
    def parse(cls, options: tuple[str, ...]) -> Self:
        """Raise UsageError, listing the known options, on one that is unknown, malformed or given twice."""
        seen: dict[str, str] = {}
        for option in options:
            name, _, value = option.partition("=")
            if name not in {"nocache", "buildpack"} or name in seen or (name == "nocache" and "=" in option):
                raise UsageError(f"push option {option[:60]!r} is not understood", hint=_KNOWN_OPTIONS)
            if name == "buildpack" and not _BUILDPACK_ID.fullmatch(value):
                raise UsageError(f"push option {option[:60]!r} names no buildpack", hint=_KNOWN_OPTIONS)
            seen[name] = value
        return cls(nocache="nocache" in seen, buildpack=seen.get("buildpack"))


_KNOWN_OPTIONS = "known options: -o nocache (build without caches), -o buildpack=ID (use this buildpack)"


@dataclass(frozen=True)
class Push:
    """One ref update that a client sent."""

    app: AppName
    user: UserName
    ref: str
    old: CommitId
    new: CommitId
    options: PushOptions


class JobState(StrEnum):
    QUEUED = "queued"
    BUILDING = "building"
    PUBLISHING = "publishing"
    RELEASING = "releasing"
    ROLLING_OUT = "rolling_out"
    LIVE = "live"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        return self in {JobState.LIVE, JobState.FAILED, JobState.CANCELED}


@dataclass(frozen=True)
class Job:
    """The durable record of one push on its way to a release.

    ``fence`` grows each time the job is claimed; a holder with an older number can no longer record anything.
    ``image`` is set once it is published, ``release`` once its number is intended.
    """

    id: JobId
    push: Push
    state: JobState
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    fence: int = 0
    cancel_requested_by: str | None = None
    image: "Image | None" = None
    release: int | None = None
    reason: str = ""  # one line: why it failed or was canceled
    seconds: Mapping[str, float] = field(default_factory=dict)  # by phase

    @property
    def app(self) -> AppName:
        return self.push.app


# --- source, stack, build -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """The tree at a commit. Read through a SourceStore; never a working copy on the server."""

    app: AppName
    commit: CommitId


@dataclass(frozen=True)
class SourceEntry:
    """One name at a place in a source. ``kind``: file, executable, directory, symlink or submodule."""

    name: str
    kind: str
    size: int = 0


class TreeEntry(NamedTuple):
    """One file, symbolic link or submodule of a source, by its whole path. A tuple, as there may be many.

    Two sources whose ``.gitattributes`` are the same have the same content at a path where ``mode`` and ``object`` are the same.
    """

    path: bytes
    mode: int  # git's: 0o100644, 0o100755, 0o120000 for a symbolic link, 0o160000 for a submodule
    object: str


@dataclass(frozen=True)
class ImageRef:
    """A repository with its registry, and a digest: ``127.0.0.1:5000/apps/shop@sha256:…``."""

    repository: str
    digest: Digest

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is REPOSITORY@DIGEST."""
        repository, at, digest = text.rpartition("@")
        if not at or not repository:
            raise UsageError(f"{text[:120]!r} is not an image by digest", hint="write REPOSITORY@sha256:…")
        return cls(repository, Digest.parse(digest))

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True)
class Stack:
    """The pair of base images."""

    name: str
    build: ImageRef
    run: ImageRef
    build_bytes: int  # compressed, as the registry stores it
    run_bytes: int
    packages: Mapping[str, tuple[str, ...]]  # "build" and "run": NAME=VERSION, sorted
    created_at: datetime


@dataclass(frozen=True)
class ProcessType:
    """One line of a Procfile. An empty ``command`` runs what the image runs by default."""

    name: str
    command: tuple[str, ...] = ()

    @staticmethod
    def parse_name(text: str) -> str:
        """Raise UsageError unless ``text`` can name a process type (and so a Deployment)."""
        if not _PROCESS_NAME.fullmatch(text):
            raise UsageError(
                f"{text[:60]!r} is not a process type",
                hint="use at most 30 lower-case letters, digits and hyphens, and no hyphen at either end",
            )
        return text


@dataclass(frozen=True)
class Blob:
    """A layer as a registry stores it (OCI descriptor)."""

    digest: Digest
    size: int
    media_type: str


@dataclass(frozen=True)
class Layer:
    """One layer of a build: already in the registry, or a compressed file that waits to be sent.

    ``title`` is for people and the size report: ``gitreceive/python:dependencies``, ``app``.
    """

    title: str
    diff_id: Digest  # of the uncompressed tar
    blob: Blob
    path: Path | None  # None: the registry has it


@dataclass(frozen=True)
class Build:
    """What one run of a group over a source made: layers on a run image, or an image in the Docker engine.

    ``config`` is the OCI image config's ``config`` object (Env, Entrypoint, WorkingDir, User, Labels).
    """

    buildpacks: tuple[str, ...]  # ID@VERSION in order, or ("dockerfile",)
    processes: tuple[ProcessType, ...]
    port: int | None  # what the image says it listens on (Dockerfile EXPOSE); None: it listens on $PORT
    run_image: ImageRef | None
    layers: tuple[Layer, ...]
    config: Mapping[str, object]
    engine_image: str | None = None  # id of an image that Docker built


@dataclass(frozen=True)
class Image:
    """What was published: pinned, with all that a target needs to know to run it."""

    ref: ImageRef
    processes: tuple[ProcessType, ...]
    port: int | None
    buildpacks: tuple[str, ...]
    size: int = 0  # compressed bytes of all layers


# --- releases -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Release:
    """vN of an app. Immutable, numbered without gaps."""

    app: AppName
    number: int
    image: Image
    commit: CommitId
    config: Mapping[str, Secret]
    user: UserName
    description: str
    created_at: datetime
    scale: Mapping[str, int] = field(
        default_factory=dict
    )  # by process type; web runs 1, others 1 where silent

    @property
    def label(self) -> str:
        return f"v{self.number}"

    def replicas(self, process: str) -> int:
        return self.scale.get(process, 1)

    @property
    def services(self) -> tuple[ProcessType, ...]:
        """The process types that keep running: all but ``release``, which runs once before the roll-out."""
        return tuple(process for process in self.image.processes if process.name != RELEASE_PROCESS)


RELEASE_PROCESS = "release"
WEB_PROCESS = "web"


@dataclass(frozen=True)
class ProcessStatus:
    """One running (or failing) instance, in words."""

    process: str
    instance: str
    release: int
    state: str  # starting, up, crashed, stopping, waiting
    ready: bool
    restarts: int
    age_seconds: float
    reason: str = ""


@dataclass(frozen=True)
class LogQuery:
    process: str | None = None
    lines: int | None = 100  # the last so many; None: all
    since_seconds: float | None = None
    follow: bool = False


@dataclass(frozen=True)
class LogLine:
    time: datetime
    instance: str
    process: str
    text: str


@dataclass(frozen=True)
class Check:
    """One finding of ``doctor``: what was looked at, what was seen, and the remedy where it failed."""

    name: str
    ok: bool
    seen: str
    fix: str = ""
