"""Whether the parts that the server stands on answer: asked seldom, never waited for longer than a bound, however often somebody wants to know."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gitreceive.errors import GitreceiveError
from gitreceive.model import Check

Question = Callable[[], Iterable[Check]]

_FRESH_SECONDS = 10.0
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """``seen`` is for who runs the server: it may name hosts and paths."""

    part: str
    ok: bool
    seen: str


class Readiness:
    """``questions``: by part, what its engine checks. The first finding of each counts, which is whether it answers; no more is asked.

    One that does not answer in time is a finding, too, and is not asked again before it has. Thread-safe; raises nothing.
    """

    def __init__(
        self,
        questions: Mapping[str, Question],
        *,
        fresh: float = _FRESH_SECONDS,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._parts = tuple(_Part(name, ask, fresh) for name, ask in questions.items())
        self._patience = patience

    def findings(self) -> tuple[Finding, ...]:
        """By part, in the order of the questions; at most some seconds old."""
        end = time.monotonic() + self._patience
        for part in self._parts:
            part.begin()
        return tuple(part.finding(max(0.0, end - time.monotonic()), self._patience) for part in self._parts)


class _Part:
    def __init__(self, name: str, ask: Question, fresh: float) -> None:
        self._name = name
        self._ask = ask
        self._fresh = fresh
        self._lock = threading.Lock()
        self._asking: threading.Event | None = None
        self._since = 0.0
        self._found: Finding | None = None
        self._at = 0.0

    def begin(self) -> None:
        """Ask, in a thread of its own, unless what is known is fresh or somebody is asking already."""
        with self._lock:
            known = self._found is not None and time.monotonic() - self._at < self._fresh
            if known or self._asking is not None:
                return
            self._asking, self._since = threading.Event(), time.monotonic()
        threading.Thread(target=self._look, name=f"ready-{self._name}", daemon=True).start()

    def finding(self, seconds: float, patience: float) -> Finding:
        """Nobody waits for one that was asked longer than ``patience`` ago: it is known to be late."""
        with self._lock:
            asking, found = self._asking, self._found
            seconds = min(seconds, max(0.0, self._since + patience - time.monotonic()))
        if asking is None and found is not None:
            return found
        if asking is not None and asking.wait(seconds):
            with self._lock:
                found = self._found
            if found is not None:
                return found
        return Finding(self._name, ok=False, seen=f"no answer within {patience:g} s")

    def _look(self) -> None:
        try:
            check = next(iter(self._ask()), None)
            ok, seen = (check.ok, check.seen) if check else (True, "")
        except GitreceiveError as error:
            ok, seen = False, error.message
        except Exception as error:  # noqa: BLE001 - whatever it is, the part is not well, and the next look comes
            ok, seen = False, f"{type(error).__name__}: {error}"
        with self._lock:
            self._found, self._at = Finding(self._name, ok, seen), time.monotonic()
            asking, self._asking = self._asking, None
        if asking is not None:
            asking.set()
