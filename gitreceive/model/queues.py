"""How many jobs may wait."""

from dataclasses import dataclass

from gitreceive.errors import UnavailableError
from gitreceive.model.names import AppName, UserName


@dataclass(frozen=True)
class Waiting:
    """Jobs that have not ended: ``all`` of them, those ``of_user``, and those ``of_app``."""

    all: int
    of_user: int
    of_app: int


@dataclass(frozen=True)
class QueueLimits:
    """The most jobs that may be there unended."""

    all: int = 2000
    of_user: int = 500
    of_app: int = 50

    def require_room(self, app: AppName, user: UserName, waiting: Waiting) -> None:
        """Raise UnavailableError, which says what is full, unless one more may come."""
        if waiting.of_app >= self.of_app:
            raise _full(f"{app} has", waiting.of_app, f"builds list --app {app}", "app_queue")
        if waiting.of_user >= self.of_user:
            raise _full(f"{user} has", waiting.of_user, "builds list", "user_queue")
        if waiting.all >= self.all:
            raise _full("the server has", waiting.all, "", "queue")


def _full(who: str, number: int, where: str, setting: str) -> UnavailableError:
    cancel = f", or cancel what nobody needs ({where})" if where else ""
    return UnavailableError(
        f"{who} {number} builds in the queue already; nothing was changed",
        hint=f"try again when some have ended{cancel}; the limit is limits.{setting}",
    )
