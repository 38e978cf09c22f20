"""Detect and build in one container start; its layers come out as they are made. Where nothing is to be built, none starts."""

import hashlib
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import docker
import docker.utils
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from gitreceive import config
from gitreceive.buildpacks.caches import CacheWeight
from gitreceive.buildpacks.order import choose, read_folder
from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder import unchanged
from gitreceive.engines.docker_builder.builder_image import BuilderImages, Recipe, recipe
from gitreceive.engines.docker_builder.container import BuildContainer, Spec
from gitreceive.engines.docker_builder.failures import failure
from gitreceive.engines.docker_builder.feed import Feed
from gitreceive.engines.docker_builder.inputs import Inputs, read_inputs
from gitreceive.engines.docker_builder.intake import refuse_leaks, take_layer
from gitreceive.engines.docker_builder.last_builds import LastBuilds
from gitreceive.engines.docker_builder.masked_log import MaskedLog
from gitreceive.engines.docker_builder.result import describe_layers, make_build
from gitreceive.engines.docker_builder.transcript import Transcript
from gitreceive.errors import (
    BuildError,
    BuildLimitError,
    ConfigError,
    GitreceiveError,
    UnavailableError,
    cause,
)
from gitreceive.lifecycle import frames
from gitreceive.lifecycle.folder import Folder, Group
from gitreceive.model import AppName, Build, Check, Digest, Layer
from gitreceive.ports import BuildRequest, Log

_GONE_OR_GOING = (404, 409)
_LAYER_LIMIT = 500  # more than any run time accepts


class DockerBuilder:
    """A Builder. Raises ConfigError at once for settings that no build could use.

    ``data_dir`` holds the spool; ``owner``, made of it, tells this server's containers and caches from others' on the same Docker engine.
    """

    def __init__(self, settings: BuildSettings, data_dir: Path) -> None:
        self._settings = settings
        self._spool = data_dir / "tmp" / "builds"
        self._last_builds = LastBuilds(data_dir / "builds")
        self._ended: dict[AppName, list[BuildContainer]] = {}
        self._ended_lock = threading.Lock()
        self.owner = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
        self._path = Path(settings.buildpacks) if settings.buildpacks else config.bundled("buildpacks")
        self._client_lock = threading.Lock()
        self._client: docker.APIClient | None = None
        self._images: BuilderImages | None = None
        _memory(settings)
        read_inputs(settings)

    @contextmanager
    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> Iterator[Build]:
        """As the port promises. Layers that wait to be sent are files until the context is left. After a build that went well,
        nobody waits for the container's removal but who needs it gone: the app's next build, ``forget``, ``sweep``, ``close``.
        """
        self._spool.mkdir(parents=True, exist_ok=True)
        spool = Path(tempfile.mkdtemp(prefix=f"{request.source.app}-", dir=self._spool))
        try:
            yield self._build(request, log, cancel, spool)
        except BaseException:
            self._wait_for_removals(request.source.app)
            raise
        finally:
            shutil.rmtree(spool, ignore_errors=True)

    def forget(self, app: AppName) -> None:
        """Remove the app's cache volume and what is known of its last build; no error where there is none.

        Raises UnavailableError.
        """
        self._wait_for_removals(app)
        with _disk_speaks():
            self._last_builds.forget(app)
        with _docker_speaks():
            try:
                self._connect().remove_volume(self._cache(app), force=True)
            except NotFound:
                return

    def sweep(self) -> None:
        """Remove what a killed server left: its build containers and its spool. Call it once, before the first build."""
        self._wait_for_removals()
        shutil.rmtree(self._spool, ignore_errors=True)
        with _docker_speaks():
            client = self._connect()
            for container in client.containers(
                all=True, filters={"label": [f"gitreceive.data={self.owner}", "gitreceive.job"]}
            ):
                _remove(client, container["Id"])

    def close(self) -> None:
        """Let go of the connections to Docker, once ended containers are removed."""
        self._wait_for_removals()
        with self._client_lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def check(self) -> Iterable[Check]:
        """Docker answers, and the settings for builds can be used."""
        try:
            with _docker_speaks():
                version = self._connect().version()
            yield Check("docker", ok=True, seen=f"{version['Version']}, API {version['ApiVersion']}")
        except UnavailableError as error:
            yield Check("docker", ok=False, seen=error.message, fix=error.hint)
        try:
            read_inputs(self._settings)
            folder = read_folder(self._path)
            yield Check("buildpacks", ok=True, seen=", ".join(sorted(folder.buildpacks)))
        except ConfigError as error:
            yield Check("buildpacks", ok=False, seen=error.message, fix=error.hint)

    def _build(
        self,
        request: BuildRequest,
        log: Log,
        cancel: Cancellation,
        spool: Path,
    ) -> Build:
        if request.stack is None:
            raise ConfigError("there is no stack to build on", hint="make one: gitreceive stack create")
        inputs = read_inputs(self._settings)
        with _masked(inputs):
            return self._build_with(inputs, request, MaskedLog(log, inputs), cancel, spool)

    def _build_with(
        self, inputs: Inputs, request: BuildRequest, log: Log, cancel: Cancellation, spool: Path
    ) -> Build:
        assert request.stack is not None
        folder = read_folder(self._path)
        order = choose(folder, request.options.buildpack)
        mark = secrets.token_hex(8)
        transcript = Transcript(log, mark, inputs.wanted)
        image = recipe(request.stack, folder, self._path)
        run = _Run(request, image, inputs, folder, transcript, spool, log, cancel)
        given = _given(run, order)
        with _disk_speaks():
            chosen = {"image": image.tag, "buildpack": request.options.buildpack}
            settings = self._last_builds.seal({**given, **chosen})
        left_out = self._leave_out(run, settings)
        outcome = left_out or self._run(run, given, mark)
        build = make_build(request, request.stack, outcome.done, outcome.layers)
        if left_out is None:
            self._remember(run, settings, outcome)
        log.detail(describe_layers(outcome.layers, request.previous))
        return build

    def _leave_out(self, run: "_Run", settings: str) -> "_Outcome | None":
        """The outcome that a build would have, without it; None where it has to run."""
        request = run.request
        last = None if request.options.nocache else self._last_builds.read(request.source.app)
        layers = unchanged.layers_of(request, run.folder, settings, last) if last else None
        if last is None or layers is None:
            return None
        names = [name.partition("@")[0] for name in last.done["buildpacks"]]
        depend = "depends" if len(names) == 1 else "depend"
        run.log.step(f"No build needed: nothing that {' and '.join(names)} {depend} on has changed")
        app = unchanged.app_layer(request, run.spool / "app.tar.gz", run.inputs.patterns, run.cancel)
        return _Outcome((*layers, app), last.done)

    def _run(self, run: "_Run", given: Mapping[str, Any], mark: str) -> "_Outcome":
        message = {
            **given,
            "mark": mark,
            "known": list(run.request.previous),
            "nocache": run.request.options.nocache,
        }
        self._wait_for_removals(run.request.source.app)
        with _docker_speaks():
            container = self._create(run)
            with (
                container,
                _Deadline(container, self._settings.timeout) as deadline,
                run.cancel.stopping(container.kill),
                Feed(container, message, run.request.archive) as feed,
            ):
                try:
                    return _take(container, run, self._settings)
                except (frames.ChannelError, OSError) as error:
                    self._explain_end(container, deadline, feed, run)
                    raise UnavailableError(
                        f"the build container ended without a word: {error}",
                        hint="see the Docker engine's own log",
                    ) from error

    def _remember(self, run: "_Run", settings: str, outcome: "_Outcome") -> None:
        app = run.request.source.app
        last = unchanged.remember(run.request, run.folder, settings, outcome.layers, outcome.done)
        with _disk_speaks():
            if last is None:
                self._last_builds.forget(app)
            else:
                self._last_builds.write(app, last)

    def _create(self, run: "_Run") -> BuildContainer:
        client = self._connect()
        assert self._images is not None
        app, job = run.request.source.app, run.request.job
        labels = {"gitreceive.job": str(job), "gitreceive.app": str(app), "gitreceive.data": self.owner}
        spec = Spec(run.image.tag, f"gitreceive-build-{app}-{job}", labels, self._cache(app))
        for attempt in (1, 2, 3):
            self._images.ensure(run.image, run.log, look=attempt > 1)
            try:
                container = BuildContainer(client, self._settings, spec, run.transcript.feed)
            except ImageNotFound:
                if attempt == 3:  # removed between the two steps, twice
                    raise
            else:
                with self._ended_lock:
                    self._ended.setdefault(app, []).append(container)
                return container
        raise AssertionError

    def _wait_for_removals(self, app: AppName | None = None) -> None:
        """Of the app's ended containers, or of all."""
        with self._ended_lock:
            apps = list(self._ended) if app is None else [app]
            containers = [container for name in apps for container in self._ended.pop(name, [])]
        for container in containers:
            container.gone()

    def _explain_end(
        self,
        container: BuildContainer,
        deadline: "_Deadline",
        feed: Feed,
        run: "_Run",
    ) -> None:
        """Raise the error that says why the channel ended, where one is known."""
        run.transcript.end()
        run.cancel.raise_if_requested()
        if deadline.passed:
            raise BuildLimitError(
                f"the build took longer than {self._settings.timeout} seconds",
                hint="make it faster, or ask the operator to raise build.timeout",
            )
        if isinstance(feed.error, GitreceiveError):
            raise feed.error
        if container.out_of_memory():
            raise _memory_error(self._settings)

    def _cache(self, app: AppName) -> str:
        return f"gitreceive-cache-{app}-{self.owner}"

    def _connect(self) -> docker.APIClient:
        with self._client_lock:
            if self._client is None:
                options = docker.utils.kwargs_from_env(environment=config.process_environment())
                self._client = docker.APIClient(version="auto", timeout=60, **options)
                self._images = BuilderImages(self._client, self.owner)
            return self._client


@dataclass(frozen=True)
class _Run:
    request: BuildRequest
    image: Recipe
    inputs: Inputs
    folder: Folder
    transcript: Transcript
    spool: Path
    log: Log
    cancel: Cancellation


@dataclass(frozen=True)
class _Outcome:
    layers: tuple[Layer, ...]
    done: Mapping[str, Any]


def _given(run: _Run, order: Iterable[Group]) -> dict[str, Any]:
    """What a build is told and its result may follow from, but for the source: a change of it asks for a build."""
    stack = run.image.stack
    return {
        "order": [[asdict(member) for member in group] for group in order],
        "env": run.inputs.env,
        "secrets": run.inputs.secrets,
        "ca_bundle": run.inputs.ca_bundle,
        "target": {"os": "linux"},
        "stack": f"{stack.build} {stack.run}",
    }


def _take(container: BuildContainer, run: _Run, settings: BuildSettings) -> _Outcome:
    """Read the channel to its end. Raises the error that a ``failed`` event stands for."""
    layers: list[Layer] = []
    while len(layers) < _LAYER_LIMIT:
        event = frames.read_message(container.receive)
        match event.get("event"):
            case "layer":
                path = run.spool / f"{len(layers)}.tar.gz"
                title, chunks, caches = (
                    str(event["title"]),
                    frames.read_stream(container.receive),
                    CacheWeight(),
                )
                layers.append(
                    take_layer(title, chunks, path, run.request.previous, run.inputs.patterns, caches.add)
                )
                for warning in caches.warnings(title):
                    run.log.warn(warning)
            case "reuse":
                layers.append(_reused(event, run.request))
            case "done" | "failed" as kind:
                container.drain(lambda: run.transcript.ended)
                run.transcript.end()
                if kind == "done":
                    refuse_leaks(event, run.inputs.patterns)
                    return _Outcome(tuple(layers), event)
                if event.get("out_of_memory"):
                    raise _memory_error(settings)
                raise failure(event, run.request, run.folder, run.transcript, run.log)
            case other:
                raise frames.ChannelError(f"an event {other!r} came")
    raise BuildError("the build made more layers than an image can have")


def _reused(event: Mapping[str, Any], request: BuildRequest) -> Layer:
    diff_id = Digest.parse(str(event["diff_id"]))
    if diff_id not in request.previous:
        raise frames.ChannelError("a layer was to be reused that the registry does not have")
    return Layer(str(event["title"]), diff_id, request.previous[diff_id], None)


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


def _memory_error(settings: BuildSettings) -> BuildLimitError:
    return BuildLimitError(
        f"the build ran out of its memory, {settings.memory}",
        hint="let it use less, or ask the operator to raise build.memory",
    )


def _memory(settings: BuildSettings) -> int:
    try:
        return int(docker.utils.parse_bytes(settings.memory))
    except DockerException as error:
        raise ConfigError(f"build.memory is {settings.memory!r}", hint="write such as 512m or 2g") from error


@contextmanager
def _masked(inputs: Inputs) -> Iterator[None]:
    """A build chooses words of its errors, a file's name for one: no secret is among them."""
    try:
        yield
    except GitreceiveError as error:
        error.message, error.hint = inputs.mask(error.message), inputs.mask(error.hint)
        error.args = (error.message,)
        raise


@contextmanager
def _disk_speaks() -> Iterator[None]:
    """Errors of the data folder become UnavailableError."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"what is kept of builds cannot be written: {error}", hint="see to the disk of the data folder"
        ) from error


@contextmanager
def _docker_speaks() -> Iterator[None]:
    """Docker's and the connection's errors become UnavailableError."""
    try:
        yield
    except APIError as error:
        raise UnavailableError(
            f"Docker refused: {error.explanation or error}", hint="gitreceive doctor looks at Docker"
        ) from error
    except (DockerException, RequestException, HTTPError) as error:
        raise UnavailableError(
            f"Docker does not answer: {cause(error)}", hint="start it, or set DOCKER_HOST to where it is"
        ) from error
