"""Who may do what, as one place of plain rules."""

from dataclasses import dataclass

from gitreceive.errors import ForbiddenError
from gitreceive.model import App, User


@dataclass(frozen=True)
class Actor:
    """Whoever asks: a user over SSH, or the administrator on the server's own host."""

    name: str
    admin: bool

    @classmethod
    def of(cls, user: User) -> "Actor":
        return cls(user.name, user.admin)


LOCAL_ADMINISTRATOR = Actor("administrator", admin=True)


def owns(actor: Actor, app: App) -> bool:
    return actor.admin or actor.name == app.owner


def require_owner(actor: Actor, app: App) -> None:
    """Raise ForbiddenError unless the actor may push to the app, see it and change it: its owner, or an administrator."""
    if not owns(actor, app):
        raise ForbiddenError(
            f"{actor.name} has no access to {app.name}",
            hint=f"it belongs to {app.owner}; ask them or an administrator",
        )


def require_admin(actor: Actor, what: str) -> None:
    """Raise ForbiddenError unless the actor is an administrator. ``what`` completes "only an administrator may …"."""
    if not actor.admin:
        raise ForbiddenError(
            f"only an administrator may {what}", hint="run it on the server's own host, or ask one"
        )
