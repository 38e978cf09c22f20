"""What somebody runs by hand on a Docker engine, and ways into what runs there."""

import contextlib
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from gitreceive.engines.docker_target import containers as made
from gitreceive.engines.docker_target.containers import Container
from gitreceive.engines.docker_target.engine import Engine, Wire
from gitreceive.errors import NotFoundError, RolloutError
from gitreceive.model import AppName, CronRun, OneOff, OneOffStatus, Terminal
from gitreceive.ports import Attachment, Output, Pipe
from gitreceive.stories.one_offs import Kept, kept

_CONNECT_SECONDS = 5.0
_CHUNK = 65536
_ENDING_SECONDS = 5.0  # from the end of a command's output to its exit code


@contextmanager
def attach(engine: Engine, name: str, body: Mapping[str, Any], asked: OneOff) -> Iterator[Attachment]:
    """``body`` is that of the bare process; it is gone when the context is left."""
    body = dict(body)
    if asked.kept:
        body["Entrypoint"] = list(kept(asked.command))
    native = None if asked.kept else asked.terminal
    container = engine.create(name, made.attached(body, terminal=native.name if native else ""))
    try:
        wire = engine.attach(container, framed=native is None)
        try:
            engine.start(container)
            there = _Container(engine, container, wire, native)
            if native:
                there.resize(native.columns, native.rows)
            yield Kept(there, asked.terminal) if asked.kept else there
        finally:
            wire.close()
    finally:
        engine.remove(container)


@contextmanager
def enter(
    engine: Engine, container: str, command: Sequence[str], terminal: Terminal | None, *, behind: bool
) -> Iterator[Attachment]:
    """``behind`` the keeper, or bare."""
    native = None if behind else terminal
    words = kept(command) if behind else tuple(command)
    name = native.name if native else ""
    execution, wire = engine.execute(container, words, terminal=name)
    try:
        there = _Execution(engine, execution, wire, native)
        if native:
            there.resize(native.columns, native.rows)
        yield Kept(there, terminal) if behind else there
    finally:
        wire.close()


@contextmanager
def connect(container: Container, port: int) -> Iterator[Pipe]:
    """To the container's own address, where its process listens on more than the loopback."""
    if container.address is None:
        raise NotFoundError(f"{container.instance} does not run", hint="gitreceive ps")
    try:
        reached = socket.create_connection((container.address[0], port), timeout=_CONNECT_SECONDS)
    except OSError as error:
        raise RolloutError(
            f"nothing listens on port {port} of {container.instance}: {error.strerror or error}",
            hint="on the docker target a process is reached that listens on 0.0.0.0, and not on 127.0.0.1 alone",
        ) from error
    with reached:
        reached.settimeout(None)
        yield _Socket(reached)


def found(containers: Iterable[Container], app: AppName, instance: str) -> Container:
    """The one of that name that runs. Raises NotFoundError."""
    for container in containers:
        if container.instance == instance and container.running:
            return container
    raise NotFoundError(f"{app} has no {instance} that runs", hint=f"gitreceive ps --app {app}")


def status(container: Container, seen: Mapping[str, Any]) -> OneOffStatus:
    """``seen`` is the engine's answer to an inspection."""
    state, labels = seen["State"], seen["Config"]["Labels"]
    running = bool(state.get("Running"))
    code = None if running or state["Status"] == "created" else int(state["ExitCode"])
    return OneOffStatus(
        name=container.instance,
        release=container.place.release,
        state="up" if running else "starting" if code is None else "failed" if code else "ended",
        user=labels.get(made.USER, ""),
        command=labels.get(made.LINE, ""),
        started=datetime.fromtimestamp(container.created, UTC),
        detached=not seen["Config"].get("OpenStdin"),
        exit_code=code,
        reason="it was killed for memory" if state.get("OOMKilled") else "",
    )


def cron_run(container: Container, seen: Mapping[str, Any]) -> CronRun:
    """The same of a run by the clock."""
    told = status(container, seen)
    finished = str(seen["State"].get("FinishedAt") or "")
    return CronRun(
        entry=container.entry,
        name=told.name,
        release=told.release,
        state=told.state,
        started=told.started,
        ended=datetime.fromisoformat(finished) if told.state in {"ended", "failed"} else None,
        exit_code=told.exit_code,
        reason=told.reason,
    )


class _Bare:
    """What both have in common: the wire."""

    def __init__(self, wire: Wire, terminal: Terminal | None) -> None:
        self._wire = wire
        self._terminal = terminal

    def output(self) -> Iterator[Output]:
        return self._wire.pieces()

    def write(self, chunk: bytes) -> None:
        self._wire.send(chunk)

    def end_input(self) -> None:
        if self._terminal is None:
            self._wire.end()


class _Container(_Bare):
    def __init__(self, engine: Engine, container: str, wire: Wire, terminal: Terminal | None) -> None:
        super().__init__(wire, terminal)
        self._engine = engine
        self._id = container

    def resize(self, columns: int, rows: int) -> None:
        if self._terminal is not None:
            with contextlib.suppress(RolloutError):  # it has ended meanwhile
                self._engine.resize(self._id, columns, rows)

    def interrupt(self) -> None:
        self._engine.kill(self._id, "SIGINT")

    def exit_code(self) -> int:
        return self._engine.wait(self._id)


class _Execution(_Bare):
    def __init__(self, engine: Engine, execution: str, wire: Wire, terminal: Terminal | None) -> None:
        super().__init__(wire, terminal)
        self._engine = engine
        self._id = execution

    def resize(self, columns: int, rows: int) -> None:
        if self._terminal is not None:
            with contextlib.suppress(RolloutError):
                self._engine.resize_execution(self._id, columns, rows)

    def interrupt(self) -> None:
        """Docker has no way to send a signal to what it runs inside a container: its input ends."""
        self._wire.close()

    def exit_code(self) -> int:
        end = time.monotonic() + _ENDING_SECONDS
        while (code := self._engine.executed(self._id)) is None:
            if time.monotonic() > end:
                raise RolloutError("the command has closed its output and still runs")
            time.sleep(0.02)
        return code


class _Socket:
    def __init__(self, reached: socket.socket) -> None:
        self._socket = reached

    def read(self) -> bytes:
        try:
            return self._socket.recv(_CHUNK)
        except OSError:
            return b""

    def write(self, chunk: bytes) -> None:
        self._socket.sendall(chunk)

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
