"""The ``docker`` target: releases as containers on this host, behind a forwarder in the server."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from gitreceive.cancellation import Cancellation
from gitreceive.config import Settings
from gitreceive.engines.docker_target import containers as made
from gitreceive.engines.docker_target import diagnosis, one_offs, volumes
from gitreceive.engines.docker_target.containers import Container, Place, Stage
from gitreceive.engines.docker_target.engine import Credentials, Engine
from gitreceive.engines.docker_target.findings import Finding, Findings
from gitreceive.engines.docker_target.hosts import Hosts
from gitreceive.engines.docker_target.hosts import url as url_by_host
from gitreceive.engines.docker_target.logs import ContainerRuns
from gitreceive.engines.docker_target.no_operators import NoOperators
from gitreceive.engines.docker_target.pages import Pages
from gitreceive.engines.docker_target.rollout import HAND_OVER_SECONDS, RollOut
from gitreceive.engines.docker_target.routes import Routes
from gitreceive.engines.docker_target.switchboard import Switchboard
from gitreceive.errors import (
    ConflictError,
    EngineAwayError,
    GitreceiveError,
    RolloutError,
    UnavailableError,
)
from gitreceive.model import (
    AppName,
    Check,
    CronRun,
    ImageRef,
    LogLine,
    LogQuery,
    Maintenance,
    OneOff,
    OneOffStatus,
    ProcessStatus,
    ProcessType,
    Release,
    Terminal,
    VolumeStatus,
)
from gitreceive.ports import Attachment, CertificateSource, Log, Pipe
from gitreceive.ports.targets import no_certificates
from gitreceive.tailing import Follower, read

_GRACE_SECONDS = 10  # for what is destroyed: nobody waits for its answers
_LOG_ATTEMPTS, _LOG_PAUSE = 10, 1.0


class DockerTarget(NoOperators):
    """A Target. Roll-outs belong in the server process, where the forwarder is; everything else works from any process.

    The engine must be on this host: the forwarder reaches the containers at their own addresses.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials = lambda: None,
        certificates: CertificateSource = no_certificates,
    ) -> None:
        self._settings = settings
        self._owned_by = made.owner(settings.data_dir)
        self._engine = Engine(credentials)
        self._routes = Routes(settings.data_dir.expanduser() / "routes")
        self._pages = Pages(settings.data_dir.expanduser() / "maintenance")
        hosts = Hosts(self._routes, settings.domain, certificates)
        self._findings = Findings(settings.data_dir.expanduser() / "health.json")
        self._switchboard = Switchboard(
            self._engine, self._owned_by, settings.docker, self._pages, hosts, self._findings
        )
        self._rollout = RollOut(
            self._engine, self._owned_by, settings.docker, self._switchboard, self._routes, self._pages
        )
        self._locks: dict[AppName, threading.RLock] = {}
        self._locks_lock = threading.Lock()

    def start(self) -> None:
        self._switchboard.start()

    def stop(self) -> None:
        self._switchboard.stop()
        self._engine.close()

    def roll_out(self, release: Release, log: Log, cancel: Cancellation) -> None:
        _require_no_autoscaler(release)
        _require_no_secrets(release)
        with self._lock(release.app), self._engine_stays():
            self._switchboard.start()
            self._rollout.bring_up(release, log, cancel)

    def put_back(self, failed: Release, previous: Release | None, log: Log) -> None:
        with self._lock(failed.app):
            self._rollout.remove(
                c for c in self._of(failed) if c.stage is Stage.STARTING
            )  # they serve nobody
            try:
                if previous is None:
                    self._routes.drop(failed.app)
                else:
                    self._rollout.bring_up(previous, log, Cancellation())
            finally:
                self._rollout.remove(c for c in self._of(failed) if c.stage is not Stage.RETIRING)
                self._switchboard.refresh(failed.app)

    @contextmanager
    def _engine_stays(self) -> Iterator[Callable[[], bool]]:
        """Whether it went away meanwhile. An engine that comes back has ended what ran: that says nothing against a release."""
        before = self._engine.absences

        def went() -> bool:
            return self._engine.absences != before

        try:
            yield went
        except RolloutError as error:
            if not went():
                raise
            raise EngineAwayError(f"Docker went away, and then {error.message}", hint=error.hint) from error

    def run_once(self, release: Release, process: ProcessType, log: Log, cancel: Cancellation) -> int:
        with self._engine_stays() as went_away:
            code = self._run_once(release, process, log, cancel)
            if code and went_away():
                raise RolloutError(f"{process.name} ended (exit {code})")
            return code

    def _run_once(self, release: Release, process: ProcessType, log: Log, cancel: Cancellation) -> int:
        user = self._rollout.image_user(release, log, cancel)
        self._rollout.remove(self._left_behind(release, process))
        body = made.once(release, process, owned_by=self._owned_by, user=user, settings=self._settings.docker)
        place = Place(release.number, process.name, 1)
        name = made.name(self._owned_by, release.app, place, Stage.LIVE, f"once-{uuid.uuid4().hex[:8]}")
        container = self._engine.create(name, body)
        try:
            with cancel.stopping(lambda: self._engine.remove(container)):
                self._engine.start(container)
                self._relay(container, log, cancel)
                code = self._engine.wait(container)
            cancel.raise_if_requested()
            return code
        except RolloutError:
            cancel.raise_if_requested()  # it was removed under our hands
            raise
        finally:
            self._engine.remove(container)

    def _relay(self, container: str, log: Log, cancel: Cancellation) -> None:
        """All that it writes, to its end. What Docker breaks off is read again from its beginning, and told from where it was."""
        told, lost = 0, 0
        while True:
            passed = 0
            try:
                for chunk in self._engine.log(
                    container, tail=None, since=None, follow=True, timestamps=False
                ):
                    log.write(chunk[max(0, told - passed) :])
                    passed += len(chunk)
                    told = max(told, passed)
            except UnavailableError:
                lost += 1
                if lost > _LOG_ATTEMPTS:
                    raise
                cancel.wait(_LOG_PAUSE if lost > 1 else 0)  # at first at once: an absence is noticed so
            else:
                return

    @contextmanager
    def attach(self, release: Release, asked: OneOff, log: Log, cancel: Cancellation) -> Iterator[Attachment]:
        name, body = self._one_off(release, asked, log, cancel)
        with one_offs.attach(self._engine, name, body, asked) as attachment:
            yield attachment

    def detach(self, release: Release, asked: OneOff, log: Log, cancel: Cancellation) -> None:
        container = self._engine.create(*self._one_off(release, asked, log, cancel))
        try:
            self._engine.start(container)
        except GitreceiveError:
            self._engine.remove(container)
            raise

    def one_offs(self, app: AppName) -> tuple[OneOffStatus, ...]:
        return tuple(one_offs.status(*each) for each in self._inspected(app) if not each[0].entry)

    @property
    def has_clock(self) -> bool:
        return False

    def cron_runs(self, app: AppName) -> tuple[CronRun, ...]:
        return tuple(one_offs.cron_run(*each) for each in self._inspected(app) if each[0].entry)

    def remove_one_off(self, app: AppName, name: str) -> bool:
        found = [container for container in self._named(app) if container.named == name]
        for container in found:
            if container.running:
                self._engine.stop(container.id, _GRACE_SECONDS)
            self._engine.remove(container.id)
        return bool(found)

    def end_one_off(self, app: AppName, name: str) -> None:
        for container in self._named(app):
            if container.named == name and container.running:
                self._engine.stop(container.id, _GRACE_SECONDS)

    @contextmanager
    def enter(
        self, app: AppName, instance: str, command: tuple[str, ...], terminal: Terminal | None, *, kept: bool
    ) -> Iterator[Attachment]:
        container = one_offs.found(self._switchboard.containers(app), app, instance)
        with one_offs.enter(self._engine, container.id, command, terminal, behind=kept) as attachment:
            yield attachment

    @contextmanager
    def connect(self, app: AppName, instance: str, port: int) -> Iterator[Pipe]:
        container = one_offs.found(self._switchboard.containers(app), app, instance)
        with one_offs.connect(container, port) as pipe:
            yield pipe

    def url(self, app: AppName) -> str | None:
        found = self._switchboard.containers(app)
        serving = made.current(found)
        if not any(c.place.release == serving and c.host_port for c in found):
            return None
        by_host = url_by_host(self._routes.of(app), app, self._settings.domain, self._settings.docker)
        if by_host:
            return by_host
        port = next((c.host_port for c in found if c.place.release == serving and c.host_port), None)
        host = self._settings.docker.listen
        if host in {"0.0.0.0", "::"}:  # noqa: S104  # every address of this host: this is one of them
            host = self._settings.public_host or "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}" if port else None

    def running(self, app: AppName) -> int | None:
        return made.current(self._switchboard.containers(app))

    def processes(self, app: AppName) -> tuple[ProcessStatus, ...]:
        found = [c for c in self._switchboard.containers(app) if not c.once and not c.place.reserved]
        told = self._findings.all()
        return tuple(
            diagnosis.status(c, self._engine.inspect(c.id), time.time(), told.get(c.id, Finding()))
            for c in found
        )

    def logs(self, app: AppName, query: LogQuery) -> Iterator[LogLine]:
        runs = ContainerRuns(self._engine, lambda: self._switchboard.containers(app))
        return Follower(runs, query) if query.follow else iter(read(runs, query))

    def volumes(self, app: AppName) -> tuple[VolumeStatus, ...]:
        return volumes.statuses(self._engine, self._owned_by, app)

    def remove_volume(self, app: AppName, name: str) -> bool:
        with self._lock(app):
            having = [c for c in self._switchboard.containers(app) if name in c.volumes]
            if kept := next((c for c in having if c.stage is not Stage.RETIRING), None):
                raise ConflictError(
                    f"{kept.instance} mounts volume {name}", hint=f"gitreceive volumes remove {name}"
                )
            for container in having:
                self._engine.stop(container.id, HAND_OVER_SECONDS)
            self._rollout.remove(having)
            return volumes.remove(self._engine, self._owned_by, app, name)

    def secret_names(self, app: AppName, secret: str) -> tuple[str, ...]:  # noqa: ARG002
        raise _no_secrets(secret)

    def destroy(self, app: AppName) -> None:
        with self._lock(app):
            found = self._switchboard.containers(app)
            for container in found:
                self._engine.stop(container.id, _GRACE_SECONDS)
            self._rollout.remove(found)
            volumes.remove_all(self._engine, self._owned_by, app)
            for image in {c.image for c in found}:
                self._engine.remove_image(image)
            self._routes.drop(app)
            self._pages.put(app, Maintenance())
            self._switchboard.forget(app)

    def forget_images(self, images: Iterable[ImageRef]) -> None:
        for image in images:
            self._engine.remove_image(str(image))

    def plan(self, release: Release) -> str:
        documents = []
        for place, process in made.places(release):
            body = self._rollout.body(release, place, process, "the image's own, never root", None)
            body["Env"] = [f"{variable.partition('=')[0]}=***" for variable in body["Env"]]
            documents.append({"name": made.name(self._owned_by, release.app, place, Stage.LIVE), **body})
        documents += [{"cron": entry.name, **entry.document()} for entry in release.cron]
        return yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True, allow_unicode=True)

    def check(self) -> Iterable[Check]:
        return diagnosis.check(self._engine, self._settings.docker)

    def _one_off(
        self, release: Release, asked: OneOff, log: Log, cancel: Cancellation
    ) -> tuple[str, dict[str, Any]]:
        """The container's name, and what it is created from."""
        user = self._rollout.image_user(release, log, cancel)
        body = made.one_off(
            release, asked, owned_by=self._owned_by, user=user, settings=self._settings.docker
        )
        place = Place(release.number, made.one_off_process(asked), 1)
        return made.name(self._owned_by, release.app, place, Stage.LIVE, asked.name), body

    def _inspected(self, app: AppName) -> list[tuple[Container, Mapping[str, Any]]]:
        """Those with a name of their own, oldest first, and what the engine says of them; not those that have gone meanwhile."""
        found = sorted(self._named(app), key=lambda container: container.created)
        seen = [(container, self._engine.inspect(container.id)) for container in found]
        return [(container, facts) for container, facts in seen if facts]

    def _named(self, app: AppName) -> list[Container]:
        return [container for container in self._switchboard.containers(app) if container.named]

    def _of(self, release: Release) -> list[Container]:
        found = self._switchboard.containers(release.app)
        return [c for c in found if c.place.release == release.number and not c.once]

    def _left_behind(self, release: Release, process: ProcessType) -> Iterator[Container]:
        """An earlier run of the same, whose server was killed: two at a time must not work on one database."""
        for container in self._switchboard.containers(release.app):
            if container.once and container.place == Place(release.number, process.name, 1):
                yield container

    def _lock(self, app: AppName) -> threading.RLock:
        """Held while an app's containers are changed."""
        with self._locks_lock:
            return self._locks.setdefault(app, threading.RLock())


def _require_no_autoscaler(release: Release) -> None:
    if release.settings.formation.autoscale:
        raise RolloutError(
            "the docker target does not scale by itself",
            hint=f"say how many: gitreceive ps autoscale {next(iter(release.settings.formation.autoscale))} --off, and ps scale",
        )


def _require_no_secrets(release: Release) -> None:
    """Raises RolloutError."""
    runtime = release.settings.runtime
    for secret in (*runtime.secrets, *(place.secret for place in runtime.secret_keys.values())):
        error = _no_secrets(secret)
        raise RolloutError(error.message, hint=f"gitreceive services unbind --secret {secret}")


def _no_secrets(secret: str) -> ConflictError:
    return ConflictError(
        f"the docker target has no Secrets, so none called {secret[:60]}",
        hint="bind values: gitreceive services bind NAME=VALUE",
    )
