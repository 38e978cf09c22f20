"""How long to go on trying what may work the next time, and how long an answer may take as a whole."""

import contextvars
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """At most ``attempts``, and at most ``seconds`` of pauses between them, which grow from ``first`` on and are jittered."""

    attempts: int = 6
    seconds: float = 60.0
    first: float = 0.2

    def pause(self, attempt: int, paused: float, wished: float = 0.0) -> float | None:
        """Seconds to wait after that attempt, counted from 1; None where it was the last. ``paused``: what was waited so far.

        ``wished``: the least that the other side asks for (RFC 9110, 10.2.3, Retry-After); longer than patience, it ends it.
        """
        pause: float = max(wished, SystemRandom().uniform(0.5, 1.0) * self.first * 2 ** (attempt - 1))
        if attempt >= self.attempts or paused + pause > self.seconds:
            return None
        return pause


def within(seconds: float, action: Callable[[], T]) -> T:
    """What ``action`` returns or raises. Raises TimeoutError after ``seconds``, and leaves it to itself then.

    Timeouts of sockets count from byte to byte: who sends one a second keeps a reader for hours.
    """
    ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            ended.put((context.run(action), None))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            ended.put((None, error))

    threading.Thread(target=run, name="within", daemon=True).start()
    try:
        result, error = ended.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no whole answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
