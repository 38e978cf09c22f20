"""What a receiver is, as drains see it, and what it is sent."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from gitreceive.model import AppName, LogLine

KEYS = ("app", "time", "source", "process", "instance", "text")
Entry = Mapping[str, Any]  # by KEYS


class Receiver(Protocol):
    """Where one drain leads. Raises UnavailableError, ForbiddenError, ConfigError; then all that is not settled is sent again."""

    settle_seconds: (
        float  # so long after ``send`` the lines have arrived if ``check`` raises nothing; 0: at once
    )

    def send(self, entries: Sequence[Entry]) -> int:
        """Hand over the first so many of them, at least one; how many. May be called again with some of the same."""

    def check(self) -> bool:
        """Whether all that was sent is on the other side. Raises UnavailableError where the connection that was sent on is gone."""

    def probe(self) -> None:
        """Whether it may be reached, and is there; nothing is sent."""

    def close(self) -> None:
        """Let go of the connection; ``send`` makes another."""


def entry(app: AppName, line: LogLine) -> dict[str, str]:
    """A line as it is sent, and kept until then."""
    return {
        "app": app,
        "time": line.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "source": str(line.source),
        "process": line.process,
        "instance": line.instance,
        "text": line.text,
    }


def word_of_ours(app: AppName, text: str) -> dict[str, str]:
    """What the server itself has to say in a drain."""
    now = datetime.now(UTC)
    said = LogLine(now, "drain", "gitreceive", text)
    return entry(app, said) | {"source": "drain"}


def packed(one: Entry) -> bytes:
    return json.dumps(one, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
