"""Who there is, and what is theirs."""

from dataclasses import dataclass
from datetime import datetime

from gitreceive.model.locks import Lock
from gitreceive.model.names import AppName, UserName


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
    buildpacks: tuple[str, ...] = ()  # references that build it, in order; none: nobody has set any
    lock: Lock | None = None

    def require_unlocked(self) -> None:
        """Raises ConflictError, which says who locked it and why."""
        if self.lock is not None:
            raise self.lock.refusal(self.name)

    @property
    def deploy_ref(self) -> str:
        return f"refs/heads/{self.branch}"
