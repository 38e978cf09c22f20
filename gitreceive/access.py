"""Who may do what. Pure rules, asked by every door and every command.

What a user may do with an app follows from their role there: the best of the one they were given and those of their teams. An app's owner is its
administrator, and whoever administers the server is every app's. A token narrows that to what it was made for, and widens nothing.
"""

from collections.abc import Mapping
from typing import Protocol

from gitreceive.errors import ForbiddenError
from gitreceive.model import App, AppName, Permission, Role, Scope, User, UserName

# whoever works on the server's own host, on its data folder
LOCAL_ADMINISTRATOR = User(UserName("administrator"), admin=True)

ALLOWED: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.DEVELOPER: frozenset({Permission.VIEW, Permission.DEPLOY, Permission.CONFIGURE}),
    Role.OPERATOR: frozenset(set(Permission) - {Permission.ADMINISTER}),
    Role.ADMIN: frozenset(Permission),
}
REACHED: Mapping[Scope, frozenset[Permission]] = {
    Scope.READ: frozenset({Permission.VIEW}),
    Scope.DEPLOY: frozenset({Permission.VIEW, Permission.DEPLOY}),
    Scope.CONFIG: frozenset({Permission.VIEW, Permission.CONFIGURE}),
    Scope.ALL: frozenset(Permission),
}
_DOES = {
    Permission.VIEW: "see",
    Permission.DEPLOY: "push to",
    Permission.CONFIGURE: "configure",
    Permission.OPERATE: "operate",
    Permission.ADMINISTER: "administer",
}


class Roles(Protocol):
    """Who was given which role. The ledger knows."""

    def role(self, user: UserName, app: AppName) -> Role | None:
        """The best that the user has for the app, of their own or by a team; None: they were given none."""


def require(permission: Permission, user: User, app: App, roles: Roles) -> None:
    """Raise ForbiddenError unless ``user`` may do this with ``app``."""
    if may(permission, user, app, roles):
        return
    check_active(user)
    if user.reach is not None and not _reaches(user, app, permission):
        raise ForbiddenError(
            f"this token of {user.name} does not reach so far: it may not {_DOES[permission]} {app.name}",
            hint="make one for it: tokens create NAME --scope SCOPE --app APP",
        )
    raise ForbiddenError(
        f"{user.name} may not {_DOES[permission]} {app.name}",
        hint=f"ask its owner, {app.owner}, or an administrator: access add {app.name} {user.name} --role ROLE",
    )


def may(permission: Permission, user: User, app: App, roles: Roles) -> bool:
    """Whether ``user`` may do this with ``app``."""
    return permission in permitted(user, app, roles)


def permitted(user: User, app: App, roles: Roles) -> frozenset[Permission]:
    """All that ``user`` may do with ``app``."""
    if user.suspended:
        return frozenset()
    allowed = ALLOWED[Role.ADMIN] if user.admin or user.name == app.owner else _given(user, app, roles)
    return frozenset(permission for permission in allowed if _reaches(user, app, permission))


def check_active(user: User) -> None:
    """Raise ForbiddenError for a user who is suspended."""
    if user.suspended:
        raise ForbiddenError(f"{user.name} is suspended", hint="ask an administrator")


def check_unlock(user: User, app: App) -> None:
    """Raise ForbiddenError unless ``user`` may open ``app`` again: whoever locked it may, and every administrator."""
    if app.lock is not None and not user.admin and user.name != app.lock.user:
        raise ForbiddenError(
            f"{app.name} was locked by {app.lock.user}: {app.lock.reason}",
            hint=f"ask {app.lock.user}, or an administrator",
        )


def check_admin(user: User, what: str) -> None:
    """Raise ForbiddenError unless ``user`` administers the server. ``what`` completes "only an administrator may …"."""
    check_active(user)
    if not user.admin:
        raise ForbiddenError(
            f"only an administrator may {what}", hint="run it on the server's own host, or ask one"
        )
    check_whole(user, what)


def check_whole(user: User, what: str) -> None:
    """Raise ForbiddenError for a token that was not made for all that its user may. ``what`` completes "this token may not …"."""
    check_active(user)
    if user.reach is not None and (Scope.ALL not in user.reach.scopes or user.reach.apps is not None):
        raise ForbiddenError(f"this token of {user.name} may not {what}", hint="use an SSH key")


def check_person(user: User, what: str) -> None:
    """Raise ForbiddenError for every token: what would outlive it, as keys and other tokens do, is made with a key alone."""
    check_active(user)
    if user.reach is not None:
        raise ForbiddenError(f"no token may {what}", hint="use an SSH key")


def _given(user: User, app: App, roles: Roles) -> frozenset[Permission]:
    """By name and by teams. Whoever was given something for an app has it for its review apps too."""
    found = [roles.role(user.name, name) for name in _names(app)]
    return frozenset().union(*(ALLOWED[role] for role in found if role))


def _names(app: App) -> tuple[AppName, ...]:
    return (app.name, app.review.of) if app.review else (app.name,)


def _reaches(user: User, app: App, permission: Permission) -> bool:
    reach = user.reach
    if reach is None:
        return True
    of_app = reach.apps is None or bool(reach.apps & {*_names(app)})
    return of_app and any(permission in REACHED[scope] for scope in reach.scopes)
