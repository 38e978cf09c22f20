"""Waiting until new containers are well, and saying why where they are not."""

import re
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

from gitreceive.buildpacks.system_packages import hint_of_crash
from gitreceive.cancellation import Cancellation
from gitreceive.engines.docker_target.asking import ask
from gitreceive.engines.docker_target.connection import Address
from gitreceive.engines.docker_target.containers import Container
from gitreceive.engines.docker_target.engine import Engine
from gitreceive.errors import RolloutError
from gitreceive.model import WEB_PROCESS, CheckKind, HealthCheck, Release, as_run, out_of_memory
from gitreceive.ports import Log

LAST_LINES = 50

_SETTLE_SECONDS = 2.0  # nothing can be asked of a worker: it is well when it has stayed up for a moment
_HELD_SECONDS = 10.0
_POLL_SECONDS = 0.1
_NOT_STARTED = (126, 127)  # of a shell and of docker-init: the command may not be run, or is not there
_NOT_RUN = re.compile(r"^\[FATAL tini \(\d+\)\] ")
_HINTS = {
    0: "a process must keep running; work that ends belongs into the `release` process",
    126: "see that the command in the Procfile or the image may be executed",
    127: "see that the command in the Procfile or the image is there",
}
_ANSWER_SECONDS = 2.0


def wait_until_well(
    engine: Engine,
    containers: Iterable[Container],
    *,
    release: Release,
    deadline: float,
    log: Log,
    cancel: Cancellation,
) -> None:
    """Return when every process passes its health checks. One without: a ``web`` answers HTTP, whatever it says, and every other process
    has run for two seconds.

    A web that has taken connections for ten seconds without an answer is taken to be slow, not broken. Raises RolloutError
    as soon as one has ended or failed a check, or after ``deadline`` seconds; its last lines are in the log then. Raises CanceledError.
    """
    waiting = {container.id: _Patient(container, engine, release) for container in containers}
    deadline += release.startup_seconds
    began = time.monotonic()
    while waiting:
        for patient in tuple(waiting.values()):
            seen = _seen(engine, patient.container)
            if not seen["State"].get("Running"):
                lines = _tell_last_lines(engine, patient.container, log)
                raise _crashed(patient.container, seen, lines)
            if patient.is_well():
                log.detail(f"{patient.container.instance} is up after {time.monotonic() - began:.1f} s")
                del waiting[patient.container.id]
            if patient.failed:
                _tell_last_lines(engine, patient.container, log)
                raise _unwell(patient)
        if waiting and time.monotonic() - began > deadline:
            patient = next(iter(waiting.values()))
            _tell_last_lines(engine, patient.container, log)
            raise _unwell(patient) if patient.said else _too_late(patient, deadline)
        cancel.wait(_POLL_SECONDS)


def how_it_ended(seen: Mapping[str, Any]) -> str:
    """In words, from the inspection of a container that does not run."""
    state = seen["State"]
    if state.get("OOMKilled"):
        return f"ran out of memory (OOMKilled, limit {_memory(seen)})"
    if state.get("Error"):
        return f"cannot run: {state['Error']}"
    code = int(state.get("ExitCode", 0))
    return f"crashed: exit {code}" if code else "ended: exit 0"


def _memory(seen: Mapping[str, Any]) -> str:
    return f"{int(seen.get('HostConfig', {}).get('Memory', 0)) >> 20}Mi"


class _Patient:
    """A container that is looked at until it is well."""

    def __init__(self, container: Container, engine: Engine, release: Release) -> None:
        self.container = container
        self.accepted = 0.0  # when it first took a connection
        self.said = ""  # what it answered last to the check that it does not pass
        self.failed = False
        self._engine = engine
        checks = {
            kind: as_run(c, release.image) for kind, c in release.checks(container.place.process).items()
        }
        self._checks = [checks[kind] for kind in CheckKind if kind in checks]  # those of the start come first
        self._misses = 0
        self._next = time.monotonic() + (self._checks[0].initial_delay if self._checks else 0)
        self._seen = 0.0

    @property
    def check(self) -> HealthCheck:
        """The one that it has to pass next."""
        return self._checks[0]

    def is_well(self) -> bool:
        if self._checks:
            return self._passes_all()
        now = time.monotonic()
        self._seen = self._seen or now
        if self.container.place.process != WEB_PROCESS:
            return now - self._seen >= _SETTLE_SECONDS
        if self.container.address is None:
            return False
        accepts, answers = _knock(self.container.address)
        if accepts and not self.accepted:
            self.accepted = now
        return answers or (accepts and now - self.accepted >= _HELD_SECONDS)

    def _passes_all(self) -> bool:
        while self._checks and time.monotonic() >= self._next and self.container.address:
            self.said = ask(self.check, self.container.address, self._run)
            if self.said:
                self._misses += 1
                # what is not ready yet may become so; the two others mean that it never will
                given_up = self.check.kind is not CheckKind.READINESS and self._misses >= self.check.attempts
                self.failed = self.failed or given_up
                self._next = time.monotonic() + self.check.wait
                return False
            self._checks.pop(0)
            self._misses = 0
            self._next = time.monotonic() + (self._checks[0].initial_delay if self._checks else 0)
        return not self._checks

    def _run(self, command: tuple[str, ...], seconds: float) -> tuple[int, str]:
        return self._engine.run_in(self.container.id, command, seconds)


def _knock(address: Address) -> tuple[bool, bool]:
    """Whether it takes a connection, and whether it answers a request with anything at all."""
    try:
        with socket.create_connection(address, timeout=_ANSWER_SECONDS) as door:
            door.sendall(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: gitreceive-health\r\nConnection: close\r\n\r\n"
            )
            try:
                return True, bool(door.recv(1))
            except OSError:
                return True, False
    except OSError:
        return False, False


def _seen(engine: Engine, container: Container) -> Mapping[str, Any]:
    seen = engine.inspect(container.id)
    return seen or {"State": {"Running": False, "Error": "somebody removed its container"}}


def _tell_last_lines(engine: Engine, container: Container, log: Log) -> bytes:
    lines = engine.tail(container.id, LAST_LINES)
    if lines:
        log.detail(f"last lines of {container.instance}:")
        log.write(lines if lines.endswith(b"\n") else lines + b"\n")
    return lines


def _crashed(container: Container, seen: Mapping[str, Any], lines: bytes) -> RolloutError:
    ended, state = how_it_ended(seen), seen["State"]
    if state.get("OOMKilled"):
        return RolloutError(f"{container.place.process} {ended}", hint=out_of_memory(container.place.process))
    code = int(state.get("ExitCode", 0))
    words = _NOT_RUN.sub("", lines.decode("utf-8", "replace").strip().rpartition("\n")[2])
    reason = f" ({words[:120]})" if code in _NOT_STARTED and words else ""
    return RolloutError(
        f"{container.place.process} {ended}{reason}", hint=_HINTS.get(code) or hint_of_crash(lines)
    )


def _unwell(patient: _Patient) -> RolloutError:
    process, check = patient.container.place.process, patient.check
    return RolloutError(
        f"{process} failed its {check.kind} check: {patient.said}",
        hint="gitreceive healthchecks list shows what is asked",
    )


def _too_late(patient: _Patient, deadline: float) -> RolloutError:
    process, address = patient.container.place.process, patient.container.address
    if process != WEB_PROCESS:
        return RolloutError(f"{process} did not stay up within {deadline:g} s")
    if patient.accepted:
        return RolloutError(
            f"web did not answer within {deadline:g} s",
            hint="it listens, but says nothing to GET /: see the lines above",
        )
    port = address[1] if address else "?"
    return RolloutError(
        f"web did not listen on $PORT ({port}) within {deadline:g} s",
        hint=f"listen on 0.0.0.0 and the port in $PORT, which is {port}; docker.deadline is the time it has",
    )
