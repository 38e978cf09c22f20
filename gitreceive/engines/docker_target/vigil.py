"""Whether processes that serve are still well: asked again and again, as their release says."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from gitreceive.engines.docker_target.asking import ask
from gitreceive.engines.docker_target.containers import Container, Stage
from gitreceive.engines.docker_target.findings import Finding, Findings
from gitreceive.errors import GitreceiveError
from gitreceive.model import CheckKind, HealthCheck

_log = logging.getLogger(__name__)

_AT_ONCE = 16
_STOP_GRACE_SECONDS = 30
_FIRST_PAUSE_SECONDS = 10.0  # between two restarts of one process: doubled each time, as Kubernetes does it
_LONGEST_PAUSE_SECONDS = 300.0


class Attended(Protocol):
    """What is needed of an engine. Raises what ``Engine`` does."""

    def run_in(self, container: str, command: Sequence[str], seconds: float) -> tuple[int, str]: ...

    def restart(self, container: str, grace: int) -> None: ...


class Vigil:
    """One that misses its readiness check so many times in a row is led no requests until it passes; one that misses its liveness check, or
    does not pass its startup check again, is started anew. What was found is in ``findings``.

    A process that ran before the server did is taken to be well until it is found not to be.
    """

    def __init__(
        self, engine: Attended, findings: Findings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._findings = findings
        self._clock = clock
        self._lock = threading.Lock()  # held for what is found, never while a process is asked
        self._charges: dict[str, _Charge] = {}
        self._pool: ThreadPoolExecutor | None = None

    def look(self, containers: Iterable[Container]) -> None:
        """Ask those whose time it is, and wait for no answer. To be called about once a second, with all that there are."""
        now = self._clock()
        here = {c.id: c for c in containers if c.health and c.running and c.stage is Stage.LIVE}
        with self._lock:
            for gone in self._charges.keys() - here.keys():
                del self._charges[gone]
            for container in here.values():
                self._charges.setdefault(container.id, _charge(container, now)).container = container
            due = [charge for charge in self._charges.values() if charge.idle and charge.due(now)]
            for charge in due:
                self._pool = self._pool or ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="vigil")
                charge.asking = self._pool.submit(self._attend, charge, now)
                charge.asking.add_done_callback(_tell_failure)
            self._findings.keep({id_: charge.finding for id_, charge in self._charges.items()})

    @property
    def unready(self) -> frozenset[str]:
        """The containers that no request is to be led to."""
        with self._lock:
            return frozenset(id_ for id_, charge in self._charges.items() if charge.finding.unready)

    def stop(self) -> None:
        """Nobody is asked any more. Who is being asked has as long as the check allows."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._charges.clear()
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _attend(self, charge: "_Charge", now: float) -> None:
        try:
            for check in charge.due(now):
                said = self._ask(charge.container, check)
                with self._lock:
                    fatal = charge.answered(check, said, self._clock())
                if fatal:
                    self._start_anew(charge, check, said)
                    return
        except GitreceiveError as error:
            # the engine's fault, or the container has just gone: nothing is known of the process
            _log.info("%s could not be asked how it is: %s", _shown(charge.container), error)
        finally:
            with self._lock:
                charge.postpone(self._clock())

    def _ask(self, container: Container, check: HealthCheck) -> str:
        if container.address is None:
            return "it has no address"
        return ask(
            check, container.address, lambda words, most: self._engine.run_in(container.id, words, most)
        )

    def _start_anew(self, charge: "_Charge", check: HealthCheck, said: str) -> None:
        _log.warning(
            "%s failed its %s check and is started anew: %s", _shown(charge.container), check.kind, said
        )
        self._engine.restart(charge.container.id, _STOP_GRACE_SECONDS)
        with self._lock:
            charge.begin_again(said, self._clock())


@dataclass
class _Charge:
    """A container that is looked after. Used under the lock, but for ``due`` by who asks."""

    container: Container
    checks: Mapping[CheckKind, HealthCheck]
    next: dict[CheckKind, float]
    started: bool  # its startup check has passed since it was started last, or it has none
    misses: dict[CheckKind, int] = field(default_factory=dict)
    finding: Finding = field(default_factory=Finding)
    asking: Future[None] | None = None

    @property
    def idle(self) -> bool:
        return self.asking is None or self.asking.done()

    def due(self, now: float) -> tuple[HealthCheck, ...]:
        """Until it has started, nothing else is asked."""
        kinds = (CheckKind.READINESS, CheckKind.LIVENESS) if self.started else (CheckKind.STARTUP,)
        return tuple(self.checks[kind] for kind in kinds if kind in self.checks and self.next[kind] <= now)

    def answered(self, check: HealthCheck, said: str, now: float) -> bool:
        """Whether it has to be started anew. ``said`` is empty where it passed."""
        misses = self.misses[check.kind] = self.misses.get(check.kind, 0) + 1 if said else 0
        self.next[check.kind] = now + check.wait
        missed = misses >= check.attempts
        if check.kind is CheckKind.READINESS:
            if missed or not said:
                self.finding = Finding(said, self.finding.restarts, self.finding.last)
            return False
        if check.kind is CheckKind.STARTUP and not said:
            self.started = True
            for kind in (CheckKind.READINESS, CheckKind.LIVENESS):
                self.next[kind] = max(self.next.get(kind, now), now)
        return missed

    def begin_again(self, said: str, now: float) -> None:
        restarts = self.finding.restarts + 1
        waiting = (
            "it was started anew and has not been asked yet" if CheckKind.READINESS in self.checks else ""
        )
        self.finding = Finding(waiting, restarts, said)
        self.misses.clear()
        self.started = CheckKind.STARTUP not in self.checks
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** (restarts - 1), _LONGEST_PAUSE_SECONDS)
        self.next = {
            kind: now + check.initial_delay + (pause if kind is CheckKind.LIVENESS else 0)
            for kind, check in self.checks.items()
        }

    def postpone(self, now: float) -> None:
        for kind, check in self.checks.items():
            if self.next[kind] <= now:
                self.next[kind] = now + check.wait


def _charge(container: Container, now: float) -> _Charge:
    checks = {check.kind: check for check in container.health}
    first = {kind: now + check.initial_delay for kind, check in checks.items()}
    return _Charge(container, checks, first, started=True)  # or it would not serve


def _tell_failure(asking: Future[None]) -> None:
    if not asking.cancelled() and (failure := asking.exception()):
        _log.error("asking a process how it is failed", exc_info=failure)


def _shown(container: Container) -> str:
    return f"{container.app} {container.instance}"
