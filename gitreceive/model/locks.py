"""An app that nobody is to change for a while."""

from dataclasses import dataclass
from datetime import datetime

from gitreceive.errors import ConflictError
from gitreceive.model.names import AppName, UserName

LONGEST_REASON = 500


@dataclass(frozen=True)
class Lock:
    user: UserName
    reason: str
    since: datetime

    def refusal(self, app: AppName) -> ConflictError:
        """What is said to whoever asks for a change."""
        since = f"{self.since:%Y-%m-%d %H:%M} UTC"
        return ConflictError(
            f"{app} is locked by {self.user} since {since}: {self.reason}",
            hint=f"{self.user} or an administrator opens it: gitreceive unlock {app}",
        )
