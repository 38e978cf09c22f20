"""A builder and a target that keep everything in memory, for tests of the story and of what tells it.

The target keeps tests/engines/target_record.py, as the real ones do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from gitreceive.cancellation import Cancellation
from gitreceive.errors import ConflictError, EngineAwayError, GitreceiveError, NotFoundError
from gitreceive.model import (
    PACKAGES_LABEL,
    STACK_IMAGE_LABEL,
    AppName,
    Blob,
    Build,
    Check,
    CronRun,
    Digest,
    ImageRef,
    KindStatus,
    Layer,
    LogLine,
    LogQuery,
    OneOff,
    OneOffStatus,
    ProcessStatus,
    ProcessType,
    Release,
    ServiceOrder,
    ServiceStatus,
    Stack,
    Terminal,
    VolumeStatus,
)
from gitreceive.ports import STDERR, STDOUT, Attachment, BuildRequest, Log, Output, Pipe
from tests.fake_registry import FakeRegistry

_APP_LAYER = Layer(
    "app", Digest(f"sha256:{'e' * 64}"), Blob(Digest(f"sha256:{'f' * 64}"), 1, ""), Path("app.tar")
)


@dataclass
class FakeBuilder:
    """``failure`` is raised by every build until it is taken away; ``during`` is called while one runs.

    Builds lie on the stack's run image where there is a stack; else they are a Dockerfile's.
    """

    processes: tuple[ProcessType, ...] = (ProcessType("web"),)
    labels: Mapping[str, str] = field(default_factory=dict)
    failure: GitreceiveError | None = None
    during: Callable[[BuildRequest, Cancellation], None] = lambda _request, _cancel: None
    away: int = 0  # how often somebody asks for the engine before it answers
    stand_on: Callable[[Stack], Stack] = lambda stack: stack  # what a build makes of the request's
    requests: list[BuildRequest] = field(default_factory=list)
    open_builds: int = 0
    caches: set[AppName] = field(default_factory=set)

    @contextmanager
    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> Iterator[Build]:
        self.requests.append(request)
        self.open_builds += 1
        try:
            log.step("Building")
            cancel.raise_if_requested()
            self.during(request, cancel)
            if self.failure:
                raise self.failure
            yield Build(
                buildpacks=("fake@1",) if request.stack else ("dockerfile",),
                processes=self.processes,
                port=None,
                run_image=self.stand_on(request.stack).run if request.stack else None,
                layers=(_APP_LAYER,),
                config={"Labels": {"commit": request.source.commit, **self.labels}},
            )
        finally:
            self.open_builds -= 1

    def forget(self, app: AppName) -> None:
        self.caches.discard(app)

    def cached(self) -> frozenset[AppName]:
        return frozenset(self.caches)

    def sweep(self) -> None:
        self.away -= 1
        if self.away >= 0:
            raise EngineAwayError("Docker does not answer: Connection refused")

    def check(self) -> Iterable[Check]:
        self.away -= 1
        yield Check("docker", ok=self.away < 0, seen="a fake")


@dataclass
class FakeRunImages:
    """Makes them in the registry, with the labels that the real ones have."""

    registry: FakeRegistry

    def run_image(self, stack: Stack, packages: Sequence[str], log: Log, cancel: Cancellation) -> ImageRef:
        log.step(f"Installing system packages: {', '.join(packages)}")
        labels = {PACKAGES_LABEL: " ".join(packages), STACK_IMAGE_LABEL: str(stack.run)}
        build = Build((), (), None, stack.run, (), {"Labels": labels})
        return self.registry.publish(build, f"stacks/{stack.name}-run", log, cancel)


@dataclass
class FakeAttachment:
    """To a process that says two words and ends."""

    code: int

    def output(self) -> Iterator[Output]:
        yield STDOUT, b"out"
        yield STDERR, b"err"

    def write(self, chunk: bytes) -> None: ...

    def end_input(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None: ...

    def interrupt(self) -> None: ...

    def exit_code(self) -> int:
        return self.code


@dataclass
class FakeTarget:
    """``failure`` is raised by every roll-out until it is taken away; ``during`` is called while one runs."""

    failure: GitreceiveError | None = None
    during: Callable[[Release, Cancellation], None] = lambda _release, _cancel: None
    exit_code: int = 0
    run_failure: GitreceiveError | None = None  # raised by every process that runs once
    exit_codes: dict[str, int] = field(default_factory=dict)  # by process, in place of exit_code
    live: dict[AppName, Release] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    asked: list[tuple[Release, OneOff]] = field(default_factory=list)
    alone: dict[AppName, list[OneOffStatus]] = field(default_factory=dict)
    has_clock: bool = False
    by_clock: dict[AppName, list[CronRun]] = field(default_factory=dict)
    kept: dict[AppName, dict[str, VolumeStatus]] = field(default_factory=dict)
    secrets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kinds: tuple[KindStatus, ...] = ()
    made: dict[AppName, dict[str, ServiceStatus]] = field(default_factory=dict)
    during_making: Callable[[ServiceOrder], None] = lambda _order: None
    while_destroying: Callable[[AppName], None] = lambda _app: None
    away: int = 0  # how often somebody asks for it before it answers

    def roll_out(self, release: Release, log: Log, cancel: Cancellation) -> None:
        self.calls.append(f"roll out {release.label}")
        cancel.raise_if_requested()
        self.during(release, cancel)
        if self.failure:
            raise self.failure
        for name, volume in release.settings.runtime.volumes.items():
            made = VolumeStatus(name, volume.size, None, "bound")
            self.kept.setdefault(release.app, {}).setdefault(name, made)
        self.live[release.app] = release

    def put_back(self, failed: Release, previous: Release | None, log: Log) -> None:
        self.calls.append(f"put back {previous.label if previous else 'nothing'}")
        if previous:
            self.live[failed.app] = previous
        else:
            self.live.pop(failed.app, None)

    def run_once(self, release: Release, process: ProcessType, log: Log, cancel: Cancellation) -> int:
        self.calls.append(f"run {process.name} of {release.label}")
        cancel.raise_if_requested()
        if self.run_failure:
            raise self.run_failure
        log.write(f"{process.name} runs\n".encode())
        return self.exit_codes.get(process.name, self.exit_code)

    @contextmanager
    def attach(self, release: Release, asked: OneOff, log: Log, cancel: Cancellation) -> Iterator[Attachment]:
        self.asked.append((release, asked))
        yield FakeAttachment(self.exit_code)

    def detach(self, release: Release, asked: OneOff, log: Log, cancel: Cancellation) -> None:
        self.asked.append((release, asked))
        if self.run_failure:
            raise self.run_failure
        if asked.entry:
            run = CronRun(asked.entry, asked.name, release.number, "up", datetime.now(UTC))
            self.by_clock.setdefault(release.app, []).append(run)
            return
        status = OneOffStatus(
            asked.name, release.number, "up", asked.user, asked.line, datetime.now(UTC), detached=True
        )
        self.alone.setdefault(release.app, []).append(status)

    def one_offs(self, app: AppName) -> tuple[OneOffStatus, ...]:
        return tuple(self.alone.get(app, ()))

    def remove_one_off(self, app: AppName, name: str) -> bool:
        self.calls.append(f"remove {name}")
        there = self.alone.get(app, [])
        self.alone[app] = [status for status in there if status.name != name]
        runs = self.by_clock.get(app, [])
        self.by_clock[app] = [run for run in runs if run.name != name]
        return len(self.alone[app]) + len(self.by_clock[app]) < len(there) + len(runs)

    def end_one_off(self, app: AppName, name: str) -> None:
        self.calls.append(f"end {name}")

    def cron_runs(self, app: AppName) -> tuple[CronRun, ...]:
        return tuple(self.by_clock.get(app, ()))

    @contextmanager
    def enter(
        self, app: AppName, instance: str, command: tuple[str, ...], terminal: Terminal | None, *, kept: bool
    ) -> Iterator[Attachment]:
        self.calls.append(f"enter {instance}: {command[-1]}")
        yield FakeAttachment(self.exit_code)

    @contextmanager
    def connect(self, app: AppName, instance: str, port: int) -> Iterator[Pipe]:
        raise NotFoundError(f"nothing listens on {instance}:{port}")
        yield

    def url(self, app: AppName) -> str | None:
        return f"http://{app}.test" if app in self.live else None

    def running(self, app: AppName) -> int | None:
        return self.live[app].number if app in self.live else None

    def processes(self, app: AppName) -> tuple[ProcessStatus, ...]:
        if app not in self.live:
            return ()
        number = self.live[app].number
        return tuple(
            ProcessStatus(p.name, f"{p.name}.1", number, "up", True, 0, 1.0) for p in self.live[app].services
        )

    def logs(self, app: AppName, query: LogQuery) -> Iterator[LogLine]:
        return iter(())

    def volumes(self, app: AppName) -> tuple[VolumeStatus, ...]:
        return tuple(status for _, status in sorted(self.kept.get(app, {}).items()))

    def remove_volume(self, app: AppName, name: str) -> bool:
        if app in self.live and name in self.live[app].settings.runtime.volumes:
            raise ConflictError(f"web mounts volume {name}")
        return self.kept.get(app, {}).pop(name, None) is not None

    def secret_names(self, app: AppName, secret: str) -> tuple[str, ...]:
        if secret not in self.secrets:
            raise NotFoundError(f"there is no Secret {secret} in namespace app-{app}")
        return self.secrets[secret]

    def service_kinds(self) -> tuple[KindStatus, ...]:
        return self.kinds

    def services(self, app: AppName) -> tuple[ServiceStatus, ...]:
        return tuple(status for _, status in sorted(self.made.get(app, {}).items()))

    def provision(self, app: AppName, order: ServiceOrder, log: Log, cancel: Cancellation) -> ServiceStatus:
        kind = {each.kind.name: each.kind for each in self.kinds}.get(order.kind)
        if kind is None:
            raise NotFoundError(f"there is no kind of service {order.kind!r}")
        there = self.made.setdefault(app, {})
        before = there.get(order.name)
        if before and before.kind != order.kind:
            raise ConflictError(f"{app} has a service {order.name} already: {before.kind}")
        size = order.size or (before.size if before else kind.size)
        version = order.version or (before.version if before else kind.version)
        keys = kind.keys(order.name)
        secret = next(iter(keys.values())).secret
        status = ServiceStatus(
            order.name, kind.name, kind.title, "being made", "Setting up", size, version, secret, keys
        )
        there[order.name] = status
        self.during_making(order)
        self.secrets[secret] = tuple(kind.variables.values())
        there[order.name] = replace(status, state="ready", says="")
        return there[order.name]

    def remove_service(self, app: AppName, name: str, log: Log) -> bool:
        status = self.made.get(app, {}).pop(name, None)
        if status:
            self.secrets.pop(status.secret, None)
        return status is not None

    def destroy(self, app: AppName) -> None:
        self.while_destroying(app)
        self.live.pop(app, None)
        self.kept.pop(app, None)
        self.made.pop(app, None)

    def forget_images(self, images: Iterable[ImageRef]) -> None:
        self.calls += [f"forget {image.repository}" for image in images]

    def plan(self, release: Release) -> str:
        return f"release: {release.number}\n"

    def check(self) -> Iterable[Check]:
        self.away -= 1
        yield Check("cluster", ok=self.away < 0, seen="a fake")

    def start(self) -> None: ...

    def stop(self) -> None: ...
