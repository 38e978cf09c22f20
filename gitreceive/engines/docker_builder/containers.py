"""The build containers of one server: started one a build, and seen to their end."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Self

import docker
from docker.errors import APIError, ImageNotFound, NotFound

from gitreceive import dockerd
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder.builder_image import BuilderImages
from gitreceive.engines.docker_builder.container import BuildContainer, Spec
from gitreceive.engines.docker_builder.disk import DiskWatch
from gitreceive.engines.docker_builder.feed import Feed
from gitreceive.engines.docker_builder.run import Outcome, Run, memory_error, take
from gitreceive.engines.docker_builder.runtime import check_runtime, runtime_named
from gitreceive.engines.docker_builder.speaking import disk_error, docker_speaks
from gitreceive.errors import BrokenOffError, BuildError, BuildLimitError, GitreceiveError, UnavailableError
from gitreceive.lifecycle import frames
from gitreceive.model import AppName, Check
from gitreceive.ports import BuildNetworks
from gitreceive.room import is_full

_GONE_OR_GOING = (404, 409)


class BuildContainers:
    """``owner`` tells this server's containers and caches from others' on the same Docker engine.

    After a build that went well, nobody waits for its container's removal but who calls ``wait_for_removals``.
    """

    def __init__(self, settings: BuildSettings, owner: str, networks: BuildNetworks) -> None:
        self._settings = settings
        self._networks = networks
        self._owner = owner
        self._ended: dict[AppName, list[BuildContainer | DiskWatch]] = {}
        self._ended_lock = threading.Lock()
        self._client_lock = threading.Lock()
        self._client: dockerd.Client | None = None
        self._images: BuilderImages | None = None

    def run(self, run: Run, given: Mapping[str, Any], mark: str) -> Outcome:
        """Give a new container its work and take what it makes. Raises the error that says why there is nothing to take."""
        message = {
            **given,
            "mark": mark,
            "known": list(run.request.previous),
            "nocache": run.request.options.nocache,
        }
        self.wait_for_removals(run.request.source.app)
        with docker_speaks():
            container, disk = self._create(run)
            with (
                container,
                disk,
                _Deadline(container, self._settings.timeout) as deadline,
                run.cancel.stopping(container.kill),
                Feed(container, message, run.request.archive) as feed,
            ):
                try:
                    return take(container, run, self._settings)
                except (frames.ChannelError, OSError) as error:
                    self._explain_end(container, deadline, disk, feed, run)
                    if isinstance(error, OSError) and is_full(error):
                        raise disk_error(error) from error
                    if not isinstance(error, frames.ChannelEndedError | OSError):
                        raise _spoiled(run, error) from error
                    raise BrokenOffError(
                        f"the build container ended without a word: {error}",
                        hint="see the Docker engine's own log",
                    ) from error

    def wait_for_removals(self, app: AppName | None = None) -> None:
        """Of the app's ended containers, or of all; those that an engine which is away keeps are tried again the next time."""
        with self._ended_lock:
            apps = list(self._ended) if app is None else [app]
            found = {name: self._ended.pop(name, []) for name in apps}
        for name, ended in found.items():
            if left := [container for container in ended if not container.gone()]:
                with self._ended_lock:
                    self._ended.setdefault(name, []).extend(left)
        for disk in (one for ended in found.values() for one in ended):
            if isinstance(disk, DiskWatch) and disk.cache_is_spent:
                self._empty(disk.cache)

    def forget(self, app: AppName) -> None:
        """Remove the app's cache volume; no error where there is none. Raises UnavailableError."""
        self.wait_for_removals(app)
        self._empty(self._cache(app))

    def cached(self) -> frozenset[AppName]:
        """The apps that have a cache volume. Raises UnavailableError."""
        begin, end = "gitreceive-cache-", f"-{self._owner}"
        with docker_speaks():
            volumes = self._connect().volumes(filters={"name": begin})["Volumes"] or []
        names = [str(volume["Name"]) for volume in volumes]
        ours = [name for name in names if name.startswith(begin) and name.endswith(end)]
        return frozenset(AppName(name[len(begin) : -len(end)]) for name in ours)

    def sweep(self) -> None:
        """Remove what a killed server left. Raises UnavailableError."""
        self.wait_for_removals()
        with docker_speaks():
            client = self._connect()
            for container in client.containers(
                all=True, filters={"label": [f"gitreceive.data={self._owner}", "gitreceive.job"]}
            ):
                _remove(client, container["Id"])

    def close(self) -> None:
        """Let go of the connections to Docker, once ended containers are removed."""
        self.wait_for_removals()
        self._networks.close()
        with self._client_lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def check(self) -> Iterator[Check]:
        """Whether Docker answers, and has what settings name."""
        try:
            with docker_speaks():
                version = self._connect().version()
                yield Check("docker", ok=True, seen=f"{version['Version']}, API {version['ApiVersion']}")
                if self._settings.runtime:
                    yield check_runtime(self._connect(), self._settings.runtime)
        except UnavailableError as error:
            yield Check("docker", ok=False, seen=error.message, fix=error.hint)

    def _create(self, run: Run) -> tuple[BuildContainer, DiskWatch]:
        client = self._connect()
        assert self._images is not None
        app, job = run.request.source.app, run.request.job
        labels = {"gitreceive.job": str(job), "gitreceive.app": str(app), "gitreceive.data": self._owner}
        spec = Spec(run.image.tag, f"gitreceive-build-{app}-{job}", labels, self._cache(app))
        for attempt in (1, 2, 3):
            self._images.ensure(run.image, run.log, run.cancel, look=attempt > 1)
            network = self._networks.lend(run.image.tag)
            try:
                with runtime_named(client, self._settings.runtime):
                    container = BuildContainer(client, self._settings, spec, network, run.transcript.feed)
            except ImageNotFound:
                network.give_back()
                if attempt == 3:  # removed between the two steps, twice
                    raise
            except BaseException:
                network.give_back()
                raise
            else:
                disk = DiskWatch(client, self._settings, spec, container)
                with self._ended_lock:
                    self._ended.setdefault(app, []).extend((container, disk))
                return container, disk
        raise AssertionError

    def _empty(self, cache: str) -> None:
        with docker_speaks():
            try:
                self._connect().remove_volume(cache, force=True)
            except NotFound:
                return

    def _explain_end(
        self,
        container: BuildContainer,
        deadline: "_Deadline",
        disk: DiskWatch,
        feed: Feed,
        run: Run,
    ) -> None:
        """Raise the error that says why the channel ended, where one is known."""
        run.transcript.end()
        run.cancel.raise_if_requested()
        if deadline.passed:
            raise BuildLimitError(
                f"the build took longer than {self._settings.timeout} seconds",
                hint="make it faster, or ask the operator to raise build.timeout",
            )
        if disk.error:
            raise disk.error
        if isinstance(feed.error, GitreceiveError):
            raise feed.error
        if container.out_of_memory():
            raise memory_error(self._settings)

    def _cache(self, app: AppName) -> str:
        return f"gitreceive-cache-{app}-{self._owner}"

    def _connect(self) -> dockerd.Client:
        with self._client_lock:
            if self._client is None:
                self._client = dockerd.connect()
                self._images = BuilderImages(self._client, self._owner)
            return self._client


def _spoiled(run: Run, error: frames.ChannelError) -> BuildError:
    return BuildError(
        f"{run.transcript.step or 'detection'} wrote onto the build's channel to the server: {error}",
        hint="a buildpack's programs speak on their own stdout and stderr; what others have open in /proc is not theirs",
    )


class _Deadline:
    """Kills the container when its time is over."""

    def __init__(self, container: BuildContainer, seconds: float) -> None:
        self.passed = False
        self._container = container
        self._timer = threading.Timer(seconds, self._end)

    def __enter__(self) -> Self:
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        self._container.kill()


def _remove(client: docker.APIClient, container: str) -> None:
    """One that Docker is removing already, as a killed server asked it to, is as good as gone."""
    try:
        client.remove_container(container, force=True, v=True)
    except APIError as error:
        if error.status_code not in _GONE_OR_GOING:
            raise
