"""A release comes up beside the one that serves, is waited for, and takes its place."""

from collections.abc import Iterable
from typing import Any

from gitreceive.cancellation import Cancellation
from gitreceive.config import DockerSettings
from gitreceive.engines.docker_target import containers as made
from gitreceive.engines.docker_target import volumes
from gitreceive.engines.docker_target.containers import Container, Place, Stage
from gitreceive.engines.docker_target.engine import Engine
from gitreceive.engines.docker_target.health import wait_until_well
from gitreceive.engines.docker_target.pages import Pages
from gitreceive.engines.docker_target.routes import Routes
from gitreceive.engines.docker_target.switchboard import Switchboard
from gitreceive.errors import RolloutError
from gitreceive.model import WEB_PROCESS, AppName, ProcessType, Release, alone
from gitreceive.ports import Log

HAND_OVER_SECONDS = 30  # for what has a volume that another process is to have


class RollOut:
    """Whoever changes an app's containers holds its lock."""

    def __init__(
        self,
        engine: Engine,
        owned_by: str,
        settings: DockerSettings,
        switchboard: Switchboard,
        routes: Routes,
        pages: Pages,
    ) -> None:
        self._engine, self._owned_by, self._settings = engine, owned_by, settings
        self._switchboard, self._routes, self._pages = switchboard, routes, pages

    def bring_up(self, release: Release, log: Log, cancel: Cancellation) -> None:
        """The release serves, and nothing else of the app does. What is there already and well is kept."""
        user = self.image_user(release, log, cancel)
        wanted = self._create_missing(release, user, cancel)
        wait_until_well(
            self._engine,
            [c for c in wanted if not c.place.reserved],
            release=release,
            deadline=self._settings.deadline,
            log=log,
            cancel=cancel,
        )
        cancel.raise_if_requested()
        self._routes.put(release.app, release.settings.routing)
        self._pages.put(release.app, release.settings.maintenance)
        self._switch(release.app, wanted)

    def _create_missing(self, release: Release, user: str, cancel: Cancellation) -> list[Container]:
        existing = [c for c in self._switchboard.containers(release.app) if not c.once]
        port = self._switchboard.port(release.app, existing)
        wanted: set[str] = set()
        for place, process in made.places(release):
            cancel.raise_if_requested()
            body = self.body(release, place, process, user, port)
            here = [c for c in existing if c.place == place and c.stage is not Stage.RETIRING]
            well = [c for c in here if c.running or place.reserved]
            same = next((c for c in well if c.spec == body["Labels"]["gitreceive.spec"]), None)
            if same is None:
                # one that serves goes on until its successor is well
                self.remove(c for c in here if not (c.running and c.stage is Stage.LIVE))
                self._free_volumes(release, place, existing)
                wanted.add(self._run(release, place, process, body))
            else:
                wanted.add(same.id)
        return [c for c in self._switchboard.containers(release.app) if c.id in wanted]

    def _free_volumes(self, release: Release, place: Place, existing: Iterable[Container]) -> None:
        """What one process has at a time is left by whoever has it. It keeps its name, so that it is known what serves, or did."""
        wanted = set(alone(release.settings.runtime.volumes, place.process))
        having = [c for c in existing if c.running and c.volumes & wanted and not place.reserved]
        for container in having:
            self._engine.stop(container.id, HAND_OVER_SECONDS)
        if having:
            self._switchboard.refresh(release.app)

    def _run(self, release: Release, place: Place, process: ProcessType, body: dict[str, Any]) -> str:
        volumes.make(self._engine, release, process, self._owned_by)
        container = self._engine.create(made.name(self._owned_by, release.app, place, Stage.STARTING), body)
        if place.reserved:
            return container
        try:
            volumes.hand_over(self._engine, container, release, process, body["User"])
            self._engine.start(container)
        except RolloutError as error:
            self._engine.remove(container)
            raise RolloutError(f"{place.process} cannot start: {error.message}", hint=error.hint) from error
        return container

    def _switch(self, app: AppName, wanted: list[Container]) -> None:
        """From here on the release serves. The names are changed first: they are what a restarted server goes by."""
        keep = {c.id for c in wanted}
        old = [c for c in self._switchboard.containers(app) if not c.once and c.id not in keep]
        replaced = {c.place for c in old if c.stage is Stage.LIVE}
        for container in wanted:
            if container.stage is not Stage.LIVE:
                self._engine.keep_running(container.id)
                # both serve until the other one has the name of one that leaves
                mark = container.id[:12] if container.place in replaced else ""
                name = made.name(self._owned_by, app, container.place, Stage.LIVE, mark)
                self._engine.rename(container.id, name)
        for container in old:
            if container.stage is not Stage.RETIRING:
                self._engine.rename(
                    container.id,
                    made.name(self._owned_by, app, container.place, Stage.RETIRING, container.id[:12]),
                )
        self._switchboard.refresh(app)
        self._switchboard.retire(old)

    def body(
        self, release: Release, place: Place, process: ProcessType, user: str, port: int | None
    ) -> dict[str, Any]:
        return made.service(
            release,
            place,
            process,
            owned_by=self._owned_by,
            host_port=port if process.name == WEB_PROCESS else None,
            user=user,
            settings=self._settings,
        )

    def image_user(self, release: Release, log: Log, cancel: Cancellation) -> str:
        """Whom to run as: the image's own user. The image is on the engine then. Raises RolloutError where that is root."""
        cancel.raise_if_requested()
        image = release.image.ref
        user = self._engine.image_user(image)
        if user is None:
            log.detail(f"pulling {image.repository}@{image.digest.short}")
            self._engine.pull(image, cancel)
            user = self._engine.image_user(image)
        if user is None:
            raise RolloutError(f"{image} was pulled and is not there", hint="see `docker images --digests`")
        if user.partition(":")[0] not in {"", "0", "root"}:
            return user
        if release.image.buildpacks == ("dockerfile",):
            raise RolloutError(
                "the image would run as root, which apps may not",
                hint="add `USER 1000` to the Dockerfile: apps may not run as root, and the user must be a number",
            )
        return made.NOT_ROOT

    def remove(self, containers: Iterable[Container]) -> None:
        for container in containers:
            self._engine.remove(container.id)
