"""Detect and build in one container start; its layers come out as they are made."""

import hashlib
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import docker
import docker.utils
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from gitreceive import config
from gitreceive.buildpacks.order import choose, read_folder
from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder.builder_image import BuilderImages
from gitreceive.engines.docker_builder.container import BuildContainer, Spec
from gitreceive.engines.docker_builder.failures import failure
from gitreceive.engines.docker_builder.feed import Feed
from gitreceive.engines.docker_builder.inputs import Inputs, read_inputs
from gitreceive.engines.docker_builder.intake import take_layer
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
from gitreceive.lifecycle.folder import Folder
from gitreceive.model import AppName, Build, Check, Digest, Layer, Stack
from gitreceive.ports import BuildRequest, Log

_LAYER_LIMIT = 500  # more than any run time accepts


class DockerBuilder:
    """A Builder. Raises ConfigError at once for settings that no build could use.

    ``data_dir`` holds the spool; ``owner``, made of it, tells this server's containers and caches from others' on the same Docker engine.
    """

    def __init__(self, settings: BuildSettings, data_dir: Path) -> None:
        self._settings = settings
        self._spool = data_dir / "tmp" / "builds"
        self.owner = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
        self._path = Path(settings.buildpacks) if settings.buildpacks else config.bundled("buildpacks")
        self._client_lock = threading.Lock()
        self._client: docker.APIClient | None = None
        self._images: BuilderImages | None = None
        _memory(settings)
        read_inputs(settings)

    @contextmanager
    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> Iterator[Build]:
        """As the port promises. Layers that wait to be sent are files until the context is left."""
        self._spool.mkdir(parents=True, exist_ok=True)
        spool = Path(tempfile.mkdtemp(prefix=f"{request.source.app}-", dir=self._spool))
        containers: list[BuildContainer] = []
        try:
            yield self._build(request, log, cancel, spool, containers)
        finally:
            shutil.rmtree(spool, ignore_errors=True)
            for container in containers:
                container.gone()

    def forget(self, app: AppName) -> None:
        """Remove the app's cache volume; no error where there is none. Raises UnavailableError."""
        with _docker_speaks():
            try:
                self._connect().remove_volume(self._cache(app), force=True)
            except NotFound:
                return

    def sweep(self) -> None:
        """Remove what a killed server left: its build containers and its spool. Call it once, before the first build."""
        shutil.rmtree(self._spool, ignore_errors=True)
        with _docker_speaks():
            client = self._connect()
            for container in client.containers(
                all=True, filters={"label": [f"gitreceive.data={self.owner}", "gitreceive.job"]}
            ):
                client.remove_container(container["Id"], force=True, v=True)

    def close(self) -> None:
        """Let go of the connections to Docker."""
        with self._client_lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def check(self) -> Iterable[Check]:
        """Docker answers, and the settings for builds can be used."""
        try:
            with _docker_speaks():
                version = self._connect().version()
            yield Check("docker", ok=True, seen=f"Docker {version['Version']}, API {version['ApiVersion']}")
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
        containers: list[BuildContainer],
    ) -> Build:
        if request.stack is None:
            raise ConfigError("there is no stack to build on", hint="make one: gitreceive stack create")
        inputs = read_inputs(self._settings)
        with _masked(inputs):
            return self._build_with(
                inputs, request, request.stack, MaskedLog(log, inputs), cancel, spool, containers
            )

    def _build_with(
        self,
        inputs: Inputs,
        request: BuildRequest,
        stack: Stack,
        log: Log,
        cancel: Cancellation,
        spool: Path,
        containers: list[BuildContainer],
    ) -> Build:
        folder = read_folder(self._path)
        order = choose(folder, request.options.buildpack)
        mark = secrets.token_hex(8)
        transcript = Transcript(log, mark, inputs.wanted)
        run = _Run(request, stack, inputs, folder, transcript, spool, log)
        message = _request_message(run, order, mark)
        with _docker_speaks():
            container = self._create(run)
            containers.append(container)
            with (
                container,
                _Deadline(container, self._settings.timeout) as deadline,
                cancel.stopping(container.kill),
                Feed(container, message, request.archive) as feed,
            ):
                try:
                    outcome = _take(container, run, self._settings)
                except (frames.ChannelError, OSError) as error:
                    self._explain_end(container, deadline, feed, cancel, transcript)
                    raise UnavailableError(
                        f"the build container ended without a word: {error}",
                        hint="see the Docker engine's own log",
                    ) from error
        log.detail(describe_layers(outcome.layers, request.previous))
        return make_build(request, stack, outcome.done, outcome.layers)

    def _create(self, run: "_Run") -> BuildContainer:
        client = self._connect()
        assert self._images is not None
        app, job = run.request.source.app, run.request.job
        labels = {"gitreceive.job": str(job), "gitreceive.app": str(app), "gitreceive.data": self.owner}
        for attempt in (1, 2):
            image = self._images.ensure(run.stack, run.folder, self._path, run.log)
            spec = Spec(image, f"gitreceive-build-{app}-{job}", labels, self._cache(app))
            try:
                return BuildContainer(client, self._settings, spec, run.transcript.feed)
            except ImageNotFound:
                if attempt == 2:  # removed between the two steps, twice
                    raise
        raise AssertionError

    def _explain_end(
        self,
        container: BuildContainer,
        deadline: "_Deadline",
        feed: Feed,
        cancel: Cancellation,
        transcript: Transcript,
    ) -> None:
        """Raise the error that says why the channel ended, where one is known."""
        transcript.end()
        cancel.raise_if_requested()
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
    stack: Stack
    inputs: Inputs
    folder: Folder
    transcript: Transcript
    spool: Path
    log: Log


@dataclass(frozen=True)
class _Outcome:
    layers: tuple[Layer, ...]
    done: Mapping[str, Any]


def _request_message(run: _Run, order: Any, mark: str) -> dict[str, Any]:
    return {
        "mark": mark,
        "order": [
            [{"id": m.id, "version": m.version, "optional": m.optional} for m in group] for group in order
        ],
        "env": run.inputs.env,
        "secrets": run.inputs.secrets,
        "ca_bundle": run.inputs.ca_bundle,
        "target": {"os": "linux"},
        "stack": f"{run.stack.build} {run.stack.run}",
        "known": list(run.request.previous),
        "nocache": run.request.options.nocache,
    }


def _take(container: BuildContainer, run: _Run, settings: BuildSettings) -> _Outcome:
    """Read the channel to its end. Raises the error that a ``failed`` event stands for."""
    layers: list[Layer] = []
    while len(layers) < _LAYER_LIMIT:
        event = frames.read_message(container.receive)
        match event.get("event"):
            case "layer":
                path = run.spool / f"{len(layers)}.tar.gz"
                chunks = frames.read_stream(container.receive)
                layers.append(
                    take_layer(str(event["title"]), chunks, path, run.request.previous, run.inputs.patterns)
                )
            case "reuse":
                layers.append(_reused(event, run.request))
            case "done" | "failed" as kind:
                container.drain(lambda: run.transcript.ended)
                run.transcript.end()
                if kind == "done":
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
