"""What a release is asked for by, and the job that brings it there."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NewType, Self

from gitreceive.errors import UsageError
from gitreceive.model.builds import Image
from gitreceive.model.names import AppName, CommitId, Digest, Secret, UserName
from gitreceive.model.references import BuildpackRef
from gitreceive.model.routing import Domain

JobId = NewType("JobId", int)


@dataclass(frozen=True)
class PushOptions:
    """What ``git push -o`` can say."""

    nocache: bool = False
    buildpack: str | None = None
    review: bool = False  # of a branch that does not deploy: make a review app of it

    @classmethod
    def parse(cls, options: tuple[str, ...]) -> Self:
        """Raise UsageError, listing the known options, on one that is unknown, malformed or given twice."""
        seen: dict[str, str] = {}
        for option in options:
            name, _, value = option.partition("=")
            flag = name in {"nocache", "review"}
            if not (flag or name == "buildpack") or name in seen or (flag and "=" in option):
                raise UsageError(f"push option {option[:60]!r} is not understood", hint=_KNOWN_OPTIONS)
            if name == "buildpack":
                _check_buildpack(option, value)
            seen[name] = value
        return cls("nocache" in seen, seen.get("buildpack"), "review" in seen)


_KNOWN_OPTIONS = (
    "known options: -o nocache (build without caches), -o buildpack=REFERENCE (use this buildpack), "
    "-o review (of another branch: a review app)"
)


def _check_buildpack(option: str, value: str) -> None:
    try:
        BuildpackRef.parse(value)
    except UsageError as error:
        raise UsageError(
            f"push option {option[:60]!r} names no buildpack", hint=f"{_KNOWN_OPTIONS}; {error.hint}"
        ) from error


@dataclass(frozen=True)
class Push:
    """One ref update that a client sent."""

    kind: ClassVar[str] = "push"

    app: AppName
    user: UserName
    ref: str
    old: CommitId
    new: CommitId
    options: PushOptions
    came_to: AppName | None = None  # the app in whose repository it lies, where that is another

    @property
    def repository(self) -> AppName:
        return self.came_to or self.app


@dataclass(frozen=True)
class Rebase:
    """A request to put the app's live release on a version of a stack's run image, with nothing built."""

    kind: ClassVar[str] = "rebase"

    app: AppName
    user: UserName
    stack: str
    version: int
    force: bool = False  # also where the run images are not known to be alike


@dataclass(frozen=True)
class Rollback:
    """A request to make an earlier release the next one, as it was, with nothing built."""

    kind: ClassVar[str] = "rollback"

    app: AppName
    user: UserName
    to: int


@dataclass(frozen=True)
class Redeploy:
    """A request to start the live release anew, as the next one, with nothing built. Which one that is shows when its turn comes."""

    kind: ClassVar[str] = "redeploy"

    app: AppName
    user: UserName


@dataclass(frozen=True)
class Promotion:
    """A request to make the image of another app's release the next release of this one, with this one's config and nothing built.

    ``digest`` is the image that was seen when it was asked for: the other app's numbers may be those of a new app by then.
    """

    kind: ClassVar[str] = "promote"

    app: AppName
    user: UserName
    origin: AppName
    number: int
    digest: Digest


@dataclass(frozen=True)
class ConfigChange:
    """A request to make the live release with another config the next one, with nothing built.

    Values are kept until the job has ended; from then on they are empty, and only the names tell what it was.
    """

    kind: ClassVar[str] = "config"

    app: AppName
    user: UserName
    values: Mapping[str, Secret] = field(default_factory=dict)  # what is set
    unset: tuple[str, ...] = ()

    def applied(self, config: Mapping[str, Secret]) -> dict[str, Secret]:
        """``config`` as it is afterwards."""
        return {name: value for name, value in {**config, **self.values}.items() if name not in self.unset}

    def without_values(self) -> Self:
        return replace(self, values=dict.fromkeys(self.values, Secret("")))

    @property
    def title(self) -> str:
        """In names alone: ``set A, B; unset C``."""
        parts = (("set", sorted(self.values)), ("unset", sorted(self.unset)))
        return "; ".join(f"{verb} {_some(names)}" for verb, names in parts if names)


@dataclass(frozen=True)
class SettingsChange:
    """A request to change what is set for the app apart from its config. ``patch`` is a JSON merge patch (RFC 7386) of the settings'
    document, so that what others ask for at the same time stays. A release follows where processes are given something else.
    """

    kind: ClassVar[str] = "settings"

    app: AppName
    user: UserName
    title: str  # what is changed, in a few words, no secrets in them: scale web=3
    patch: Mapping[str, Any]

    @property
    def domains(self) -> tuple[Domain, ...]:
        """Those that it gives to the app. Raises UsageError where one cannot be."""
        named = (self.patch.get("routing") or {}).get("domains") or {}
        return tuple(Domain.parse(name) for name, given in named.items() if given is not None)


_MOST_NAMES = 5


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


Cause = Push | Rebase | Rollback | Redeploy | Promotion | ConfigChange | SettingsChange


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
class InLine:
    """A job that has not ended, in brief. ``since`` it was begun, or else asked for."""

    id: JobId
    app: AppName
    user: UserName
    state: JobState
    since: datetime


@dataclass(frozen=True)
class Job:
    """The durable record of what somebody asked for, on its way to a release.

    ``fence`` grows each time the job is claimed; a holder with an older number can no longer record anything.
    ``image`` is set once it is published, ``release`` once its number is intended.
    """

    id: JobId
    cause: Cause
    state: JobState
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    fence: int = 0
    cancel_requested_by: str | None = None
    image: Image | None = None
    release: int | None = None
    reason: str = ""  # one line: why it failed or was canceled
    seconds: Mapping[str, float] = field(default_factory=dict)  # by phase

    @property
    def app(self) -> AppName:
        return self.cause.app

    @property
    def user(self) -> UserName:
        return self.cause.user

    @property
    def title(self) -> str:
        """What it is about, in a word or a few: the commit of a push."""
        match self.cause:
            case Push(new=commit):
                return commit.short
            case Rebase(stack=stack, version=version):
                return f"rebase to {stack} {version}"
            case Rollback(to=number):
                return f"rollback to v{number}"
            case Redeploy():
                return "redeploy"
            case Promotion(origin=origin, number=number):
                return f"promote {origin} v{number}"
            case ConfigChange(title=title) | SettingsChange(title=title):
                return title
