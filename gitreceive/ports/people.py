"""Who there is, who may do what, and what happened, a Protocol for each part of it.

Each change is recorded with the change, in one transaction: who makes it says ``gitreceive.acting``.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Protocol

from gitreceive.model import (
    AppName,
    Event,
    EventQuery,
    Given,
    Grant,
    Happening,
    NewToken,
    Party,
    PublicKey,
    Quota,
    Reach,
    Role,
    Secret,
    Team,
    Token,
    User,
    UserName,
)


class KeyLedger(Protocol):
    def add_key(
        self, user: UserName, algorithm: str, blob: str, comment: str, fingerprint: str, *, admin: bool
    ) -> PublicKey:
        """The user is made where new, and made administrator where ``admin``, by a key of their own that is known too.

        Raises ConflictError where the key is known otherwise.
        """

    def keys(self, user: UserName | None = None) -> tuple[PublicKey, ...]: ...

    def remove_key(self, fingerprint: str) -> PublicKey:
        """Raises NotFoundError."""

    def key(self, algorithm: str, blob: str) -> PublicKey | None:
        """Whole-key comparison; None where nobody has it."""

    def user_of_key(self, algorithm: str, blob: str) -> User | None:
        """Whose key it is, by the whole of it; None where nobody has it, and for a user who is suspended."""

    def user(self, name: UserName) -> User:
        """Raises NotFoundError."""


class UserLedger(Protocol):
    def add_user(self, name: UserName, *, admin: bool) -> User:
        """Raises ConflictError where the name is taken."""

    def users(self) -> tuple[User, ...]:
        """By name."""

    def change_user(
        self, name: UserName, *, admin: bool | None = None, suspended: bool | None = None
    ) -> User:
        """What is None stays. Raises NotFoundError."""

    def remove_user(self, name: UserName) -> User:
        """With their keys and tokens and all that they were given. Raises NotFoundError; ConflictError while they own an app."""


class TeamLedger(Protocol):
    def create_team(self, name: UserName) -> Team:
        """Raises ConflictError where the name is taken."""

    def teams(self, user: UserName | None = None) -> tuple[Team, ...]:
        """By name; all, or those of a user."""

    def add_member(self, team: UserName, user: UserName) -> Team:
        """No error where they are one. Raises NotFoundError."""

    def remove_member(self, team: UserName, user: UserName) -> Team:
        """Raises NotFoundError, also where they are none."""

    def delete_team(self, name: UserName) -> Team:
        """With all that it was given. Raises NotFoundError."""


class AccessLedger(Protocol):
    def role(self, user: UserName, app: AppName) -> Role | None:
        """The best that the user was given for the app, by name or by a team; None: they were given none. Nothing of owners."""

    def access(self, app: AppName | None = None, user: UserName | None = None) -> tuple[Given, ...]:
        """By app, users before teams, by name; of a user, also what their teams were given."""

    def give(self, given: Given) -> None:
        """In place of what they had there before. Raises NotFoundError where one of them is gone."""

    def take(self, app: AppName, of: Party) -> Given:
        """Raises NotFoundError where they have nothing there."""

    def set_owner(self, app: AppName, owner: UserName) -> None:
        """Raises NotFoundError."""


class TokenLedger(Protocol):
    """Tokens, by their ids. What is kept of a token's secret cannot be turned back into it."""

    def create_token(
        self, drawn: NewToken, user: UserName, name: str, reach: Reach, lifetime: timedelta, by: UserName
    ) -> Token:
        """Raises NotFoundError where there is no such user."""

    def tokens(self, user: UserName | None = None) -> tuple[Token, ...]:
        """Oldest first, also those that have expired."""

    def revoke_token(self, token: str) -> Token:
        """It is gone. Raises NotFoundError."""

    def grant_of_token(self, shown: Secret) -> Grant | None:
        """What somebody may who shows this; None where it is no token of anybody's, has expired or was revoked, and where its user is
        suspended. The secret is compared in constant time. That it was used is noted; that it is one which opens nothing any more is an event.
        """

    def grant_of_id(self, token: str) -> Grant | None:
        """What the token gives as of now, for what acts on after it was shown; None as above."""


class EventLedger(Protocol):
    """What happened, in order. Nothing is ever altered or removed, neither here nor by any other way to the database."""

    def record(self, happening: Happening, *, quiet_seconds: float = 0) -> None:
        """``quiet_seconds``: not again if the very same was recorded so short a time ago, as a client may try for ever."""

    def events(self, query: EventQuery) -> tuple[Event, ...]:
        """Newest first."""

    def newest_event(self, after: int = 0, but: Collection[str] = ()) -> int:
        """The id of the newest, 0 where there is none: while it stays, nobody has lost or got anything.

        Of those after the event ``after`` and of none of the verbs ``but``; ``after`` itself where there is none.
        """


class QuotaLedger(Protocol):
    def set_quota(self, quota: Quota) -> None:
        """In place of what was there; an empty one is none. Raises NotFoundError where nobody has its name."""

    def quotas(self) -> tuple[Quota, ...]:
        """By kind and name."""

    def quotas_of(self, app: AppName) -> tuple[tuple[Quota, tuple[AppName, ...]], ...]:
        """Those that hold for an app, its own, its owner's and those of its owner's teams, each with all apps under it. Raises NotFoundError."""
