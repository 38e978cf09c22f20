"""Tokens: what programs show in place of a key, over HTTP and in CI.

A token is ``grt_ID_SECRET``: a prefix that scanners of sources know it by, a name that may be seen, and 256 random bits. Only their SHA-256 is
kept. A slow hash, as passwords need, would add nothing: there is no list of likely secrets to try, and each request has to be checked.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from gitreceive.errors import UsageError
from gitreceive.model.names import Secret, UserName
from gitreceive.model.people import User
from gitreceive.model.rights import Reach

LONGEST_TOKEN_NAME = 100
_TOKEN = re.compile(r"grt_([a-z0-9]{10})_([A-Za-z0-9_-]{43})", re.ASCII)
_ID = re.compile(r"[a-z0-9]{10}", re.ASCII)
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Token:
    """What is known of a token: all but its secret."""

    id: str
    user: UserName
    name: str  # what it is for, in its maker's words
    reach: Reach
    created_by: UserName
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None  # to the minute


@dataclass(frozen=True)
class Grant:
    """What a token gives whoever shows it: its user, with ``user.reach`` set to the token's own."""

    user: User
    token: Token


def grant(user: User, token: Token) -> Grant:
    return Grant(replace(user, reach=token.reach), token)


@dataclass(frozen=True)
class NewToken:
    """One that was just drawn. ``text`` is all of it, to be shown once."""

    id: str
    text: Secret
    hash: str


def draw_token() -> NewToken:
    """Another one each time: 256 bits of the system's randomness."""
    id_ = "".join(secrets.choice(_ID_LETTERS) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    return NewToken(id_, Secret(f"grt_{id_}_{secret}"), _hash(secret))


def split_token(text: Secret) -> tuple[str, str] | None:
    """A token's id and the hash of its secret; None where the text is no token."""
    found = _TOKEN.fullmatch(text.reveal())
    return (found[1], _hash(found[2])) if found else None


def same_hash(known: str | None, shown: str) -> bool:
    """In a time that says nothing of how much of it was right, nor of whether there is anything to compare with."""
    return hmac.compare_digest((known or _NOBODY).encode(), shown.encode()) and known is not None


def parse_token_id(text: str) -> str:
    """Raises UsageError, which repeats nothing of what may be a whole token."""
    if not _ID.fullmatch(text):
        raise UsageError("that is not a token's id", hint="the id is what tokens list shows, without grt_")
    return text


def parse_token_name(text: str) -> str:
    """Raises UsageError."""
    if not text.strip() or len(text) > LONGEST_TOKEN_NAME or not text.isprintable():
        raise UsageError(
            "that is no name for a token", hint=f"say what it is for in 1 to {LONGEST_TOKEN_NAME} characters"
        )
    return text.strip()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()
