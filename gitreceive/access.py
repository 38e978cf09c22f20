"""Who may do what. Pure rules, asked by every door."""

from gitreceive.errors import ForbiddenError
from gitreceive.model import App, User


def check_push(user: User, app: App) -> None:
    """Raise ForbiddenError unless ``user`` may deploy ``app``: its owner may, and every administrator."""
    if not _rules(user, app):
        raise ForbiddenError(
            f"{user.name} may not push to {app.name}", hint=f"ask its owner, {app.owner}, or an administrator"
        )


def check_read(user: User, app: App) -> None:
    """Raise ForbiddenError unless ``user`` may read the source and the builds of ``app``: whoever may deploy it."""
    if not _rules(user, app):
        raise ForbiddenError(
            f"{user.name} may not read {app.name}", hint=f"ask its owner, {app.owner}, or an administrator"
        )


def _rules(user: User, app: App) -> bool:
    return user.admin or user.name == app.owner
