"""The part of the ledger in memory that knows who may do what."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gitreceive.errors import NotFoundError
from gitreceive.model import (
    Grant,
    NewToken,
    PublicKey,
    Reach,
    Secret,
    Token,
    User,
    UserName,
    grant,
    same_hash,
    split_token,
)


@dataclass(frozen=True)
class _Kept:
    token: Token
    hash: str


class FakePeople:
    """The users and their keys are read by ``FakeLedger`` too."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._users: dict[UserName, User] = {}
        self._keys: dict[str, PublicKey] = {}
        self._tokens: dict[str, _Kept] = {}

    def create_token(
        self, drawn: NewToken, user: UserName, name: str, reach: Reach, lifetime: timedelta, by: UserName
    ) -> Token:
        with self._lock:
            if user not in self._users:
                raise NotFoundError(f"there is no user {user}")
            time = self._clock()
            token = Token(drawn.id, user, name, reach, by, time, time + lifetime)
            self._tokens[drawn.id] = _Kept(token, drawn.hash)
            return token

    def tokens(self, user: UserName | None = None) -> tuple[Token, ...]:
        with self._lock:
            return tuple(kept.token for kept in self._tokens.values() if user in {None, kept.token.user})

    def revoke_token(self, token: str) -> Token:
        with self._lock:
            if token not in self._tokens:
                raise NotFoundError(f"there is no token {token}")
            return self._tokens.pop(token).token

    def grant_of_token(self, shown: Secret) -> Grant | None:
        split = split_token(shown)
        with self._lock:
            kept = self._tokens.get(split[0]) if split else None
            if not split or not same_hash(kept.hash if kept else None, split[1]):
                return None
            found = self.grant_of_id(split[0])
            if found and kept:
                self._tokens[split[0]] = replace(kept, token=replace(kept.token, last_used_at=self._clock()))
            return found

    def grant_of_id(self, token: str) -> Grant | None:
        with self._lock:
            kept = self._tokens.get(token)
            user = self._users.get(kept.token.user) if kept else None
            if not kept or not user or user.suspended or kept.token.expires_at <= self._clock():
                return None
            return grant(user, kept.token)
