"""Whether who acts may still act so: their key or token is there, they are not suspended, and what they were given was not taken back."""

from collections.abc import Iterable
from typing import Protocol

from gitreceive.access import Roles, check_active, may
from gitreceive.acting import Actor
from gitreceive.errors import ForbiddenError, NotFoundError
from gitreceive.model import App, AppName, Grant, Permission, PublicKey, User, UserName


class Standing(Roles, Protocol):
    """What has to be known. The ledger knows."""

    def user(self, name: UserName) -> User: ...

    def keys(self, user: UserName | None = None) -> tuple[PublicKey, ...]: ...

    def grant_of_id(self, token: str) -> Grant | None: ...

    def app(self, name: AppName) -> App: ...


def user_of(actor: Actor, standing: Standing) -> User:
    """Who acts, as they are by now, no further than their token reaches. Raises ForbiddenError, NotFoundError."""
    if actor.token:
        grant = standing.grant_of_id(actor.token)
        if grant is None or grant.user.name != actor.user:
            raise ForbiddenError("the token is no longer good: it has expired, or was revoked")
        return grant.user
    user = standing.user(actor.user)
    check_active(user)
    if actor.key and all(key.fingerprint != actor.key for key in standing.keys(user.name)):
        raise ForbiddenError(f"the key {actor.key} was removed")
    return user


def withdrawn(actor: Actor, needs: Iterable[tuple[AppName, Permission]], standing: Standing) -> str:
    """Why what ``actor`` does has to end, in words; empty: it may go on. An app that is gone is no reason: whoever works on it sees that."""
    try:
        user = user_of(actor, standing)
        for name, permission in needs:
            if not may(permission, user, standing.app(name), standing):
                return f"{user.name} may no longer {permission} {name}"
    except NotFoundError as error:
        return error.message if error.message.startswith("there is no user") else ""
    except ForbiddenError as error:
        return error.message
    return ""
