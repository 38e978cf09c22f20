"""How far each of an app's logs has been taken over into the spools of its drains."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gitreceive.drains.files import read_document, write_whole
from gitreceive.errors import UnavailableError
from gitreceive.model import LogLine, LogQuery, LogSource

_MOST = 2000  # logs; those that are silent the longest are forgotten, and what is as old as they with them
_JOB = "job/"


@dataclass
class Positions:
    """``since``: what is older is known, of whatever log; ``jobs_after``: so are the jobs up to that one."""

    since: datetime
    jobs_after: int
    logs: dict[str, int] = field(default_factory=dict)

    def take(self, line: LogLine) -> None:
        if not line.log.startswith(_JOB):
            self.logs[line.log] = max(line.position, self.logs.get(line.log, 0))
        else:
            self.logs[line.log] = line.position
        if len(self.logs) > _MOST:
            self._forget()

    def query(self) -> LogQuery:
        """All that is not known, and what comes."""
        return LogQuery(
            lines=None,
            since=self.since,
            follow=True,
            sources=frozenset(LogSource),
            after=dict(self.logs),
            jobs_after=self.jobs_after,
        )

    def save(self, path: Path) -> None:
        """Raises UnavailableError."""
        document = {"since": self.since.isoformat(), "jobs_after": self.jobs_after, "logs": self.logs}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, document)
        except OSError as error:
            raise UnavailableError(f"{path} cannot be written: {error.strerror}") from error

    def _forget(self) -> None:
        jobs = sorted((log for log in self.logs if log.startswith(_JOB)), key=_number)
        containers = sorted((log for log in self.logs if not log.startswith(_JOB)), key=self.logs.__getitem__)
        for log in jobs[: len(jobs) // 2]:
            self.jobs_after = max(self.jobs_after, _number(log))
            del self.logs[log]
        for log in containers[: len(containers) // 2]:
            self.since = max(self.since, datetime.fromtimestamp(self.logs.pop(log) // 10**9, UTC))


def read_positions(path: Path) -> Positions | None:
    """None where there are none. Raises UnavailableError."""
    try:
        known = read_document(path)
        return (
            Positions(datetime.fromisoformat(known["since"]), known["jobs_after"], known["logs"])
            if known
            else None
        )
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read: {error.strerror}") from error


def _number(log: str) -> int:
    return int(log.removeprefix(_JOB))
