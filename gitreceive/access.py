"""Who may do what. Pure rules, asked by every door."""

from gitreceive.errors import ForbiddenError
from gitreceive.model import App, User, UserName

# whoever works on the server's own host, on its data folder
LOCAL_ADMINISTRATOR = User(UserName("administrator"), admin=True)


def check_push(user: User, app: App) -> None:
    """Raise ForbiddenError unless ``user`` may deploy and change ``app``: its owner may, and every administrator."""
    _check(user, app, "may not push to")


def check_read(user: User, app: App) -> None:
    """Raise ForbiddenError unless ``user`` may see ``app``, its source and its builds: whoever may deploy it."""
    _check(user, app, "may not see")


def may_read(user: User, app: App) -> bool:
    return user.admin or user.name == app.owner


def check_unlock(user: User, app: App) -> None:
    """Raise ForbiddenError unless ``user`` may open ``app`` again: whoever locked it may, and every administrator."""
    if app.lock is not None and not user.admin and user.name != app.lock.user:
        raise ForbiddenError(
            f"{app.name} was locked by {app.lock.user}: {app.lock.reason}",
            hint=f"ask {app.lock.user}, or an administrator",
        )


def check_admin(user: User, what: str) -> None:
    """Raise ForbiddenError unless ``user`` is an administrator. ``what`` completes "only an administrator may …"."""
    if not user.admin:
        raise ForbiddenError(
            f"only an administrator may {what}", hint="run it on the server's own host, or ask one"
        )


def _check(user: User, app: App, verb: str) -> None:
    if not may_read(user, app):
        raise ForbiddenError(
            f"{user.name} {verb} {app.name}", hint=f"ask its owner, {app.owner}, or an administrator"
        )
