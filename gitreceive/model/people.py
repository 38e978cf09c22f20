"""Who there is, and what is theirs."""

from dataclasses import dataclass, field
from datetime import datetime

from gitreceive.model.locks import Lock
from gitreceive.model.names import AppName, UserName
from gitreceive.model.rights import Reach, Role


@dataclass(frozen=True)
class User:
    """``reach``: of the token that was shown; None for a key and on the server's own host, where nothing narrows what a user may."""

    name: UserName
    admin: bool
    suspended: bool = False  # may nothing, until taken back
    reach: Reach | None = None


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
class Team:
    """Its name follows the rules of user names, and may be one of a user too."""

    name: UserName
    members: tuple[UserName, ...]
    created_at: datetime


@dataclass(frozen=True)
class Party:
    """Whom something can be given to: a user, or all of a team."""

    name: UserName
    team: bool = False

    def __str__(self) -> str:
        return f"team {self.name}" if self.team else str(self.name)


@dataclass(frozen=True)
class Given:
    """A role that a party has for an app."""

    app: AppName
    to: Party
    role: Role


@dataclass(frozen=True)
class Review:
    """What makes an app a review app: it shows another app's branch, and goes with it, or at ``until``."""

    of: AppName
    branch: str  # without refs/heads/
    until: datetime


@dataclass(frozen=True)
class ReviewRules:
    """What is set for the review apps of an app. ``wanted``: every branch that is pushed gets one, without being asked for.

    ``inherit`` names the variables of the app's config that they are given; no other value leaves the app.
    """

    wanted: bool = False
    seconds: int = 5 * 86400  # that one stays after the last push to its branch
    inherit: tuple[str, ...] = ()


@dataclass(frozen=True)
class App:
    name: AppName
    owner: UserName
    branch: str  # the branch whose push deploys, without refs/heads/
    created_at: datetime
    buildpacks: tuple[str, ...] = ()  # references that build it, in order; none: nobody has set any
    review: Review | None = None
    reviews: ReviewRules = field(default_factory=ReviewRules)
    lock: Lock | None = None

    def require_unlocked(self) -> None:
        """Raises ConflictError, which says who locked it and why."""
        if self.lock is not None:
            raise self.lock.refusal(self.name)

    @property
    def deploy_ref(self) -> str:
        return f"refs/heads/{self.branch}"
