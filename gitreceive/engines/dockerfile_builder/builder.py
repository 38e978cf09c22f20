"""Sources with a Dockerfile: a Builder that hands them to Docker's own build.

It is the classic builder, which every engine has over its plain API. It has no way to hand a file to a build that would not
end up in the image, so neither build secrets nor the CA bundle reach a Dockerfile: base it on the stack's images
(``ARG GITRECEIVE_RUN_IMAGE``, ``FROM ${GITRECEIVE_RUN_IMAGE}``), or on an image that trusts what it must.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from gitreceive.buildpacks.dockerfile import takes
from gitreceive.buildpacks.procfile import parse_procfile
from gitreceive.cancellation import Cancellation
from gitreceive.config import Settings
from gitreceive.engines.dockerfile_builder.arguments import build_arguments
from gitreceive.engines.dockerfile_builder.context import Context, spooled
from gitreceive.engines.dockerfile_builder.disk import held_to_disk
from gitreceive.engines.dockerfile_builder.engine import BuildEngine, BuildOutput
from gitreceive.engines.dockerfile_builder.reaching_out import images_named, refuse_reaching_out
from gitreceive.engines.dockerfile_builder.transcript import Transcript
from gitreceive.errors import (
    BrokenOffError,
    BuildError,
    BuildLimitError,
    ConfigError,
    DetectError,
    GitreceiveError,
)
from gitreceive.model import WEB_PROCESS, AppName, Build, Check, ImageRef, ProcessType
from gitreceive.ports import BuildNetworks, BuildRequest, LentNetwork, Log, NoNetworks

_FREE_BYTES = 2 << 30
_CONFIG = ("Env", "Entrypoint", "Cmd", "WorkingDir", "User", "Labels", "ExposedPorts", "StopSignal")


class DockerfileBuilder:
    """A Builder. The image that it makes stays in the engine until the context is left."""

    def __init__(self, settings: Settings, networks: BuildNetworks | None = None) -> None:
        self._settings = settings.build
        self._registry = settings.registry
        self._networks = networks or NoNetworks()
        self._engine = BuildEngine(settings.data_dir)

    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> AbstractContextManager[Build]:
        return self._build(request, log, cancel)

    def forget(self, app: AppName) -> None:
        self._engine.remove_all(app)

    def cached(self) -> frozenset[AppName]:
        """Docker's own cache is nobody's in particular."""
        return frozenset()

    def sweep(self) -> None:
        self._engine.sweep()

    def check(self) -> Iterable[Check]:
        try:
            seen, storage, free = self._engine.seen()
        except GitreceiveError as error:
            yield Check("docker", False, error.message, error.hint)
            return
        yield Check("docker", True, seen)
        if free is not None:
            enough = free >= _FREE_BYTES
            fix = "" if enough else "free at least 2 GB, for example with `docker system prune`"
            yield Check("docker disk", enough, f"{free / 1e9:.1f} GB free, {storage}", fix)

    @contextmanager
    def _build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> Iterator[Build]:
        cancel.raise_if_requested()
        if not takes(request.root):
            raise DetectError("there is no Dockerfile at the root", hint="add a file named Dockerfile")
        app, job = request.source.app, request.job
        log.step("Building the Dockerfile")
        try:
            with spooled(request.archive, cancel) as source:
                processes = parse_procfile(source.procfile)
                arguments = build_arguments(self._settings.env, request.stack, source.dockerfile, log)
                image = self._run(request, source, arguments, log, cancel)
                bases = self._bases(source.dockerfile, arguments)
            build = _described(self._engine.config(image), image, processes, log)
            yield replace(build, bases=bases)
            self._engine.keep_for_cache(app, job)
        finally:
            self._engine.remove(app, job)

    def _run(
        self,
        request: BuildRequest,
        source: Context,
        arguments: Mapping[str, str],
        log: Log,
        cancel: Cancellation,
    ) -> str:
        refuse_reaching_out(source.dockerfile, self._registry, request.source.app)
        self._check_runtime()
        network = self._network(request)
        try:
            return self._run_in(network.mode, request, source, arguments, log, cancel)
        finally:
            network.give_back()

    def _check_runtime(self) -> None:
        """Docker's own build takes no runtime, so it has to be the one that Docker takes by itself."""
        wanted = self._settings.runtime
        default = self._engine.default_runtime() if wanted else ""
        if wanted != default:
            raise ConfigError(
                f"a Dockerfile is built in Docker's default runtime, {default}, and builds may run in {wanted} only",
                hint="build it with buildpacks, or ask the operator to make that Docker's default-runtime",
            )

    def _network(self, request: BuildRequest) -> LentNetwork:
        if "none" in (self._settings.network, self._settings.egress):
            return NoNetworks()
        if request.stack is None:
            raise ConfigError(
                "there is no stack, whose image holds the networks of builds",
                hint="make one: gitreceive stack create; or set build.egress to none",
            )
        self._engine.need(request.stack.build)
        return self._networks.lend(str(request.stack.build))

    def _run_in(
        self,
        network: str,
        request: BuildRequest,
        source: Context,
        arguments: Mapping[str, str],
        log: Log,
        cancel: Cancellation,
    ) -> str:
        output = self._engine.build(
            source.archive,
            app=request.source.app,
            job=request.job,
            arguments=arguments,
            nocache=request.options.nocache,
            limits=self._settings,
            network=network,
        )
        with (
            output,
            held_to_disk(self._engine, self._settings, output) as entries,
            _limited(output, self._settings.timeout, cancel),
        ):
            image = Transcript(log, self._settings.memory).follow(entries)
            cancel.raise_if_requested()
        if image is None:
            raise BrokenOffError("Docker ended the build without an image", hint="see the engine's own log")
        return image

    def _bases(self, dockerfile: str, arguments: Mapping[str, str]) -> tuple[ImageRef, ...]:
        """Looked at after the build, which has brought what was not there; the engine replaces nothing that it has."""
        found = (self._engine.pinned(name) for name in images_named(dockerfile, arguments))
        return tuple(dict.fromkeys(ref for ref in found if ref is not None))


@contextmanager
def _limited(output: BuildOutput, seconds: int, cancel: Cancellation) -> Iterator[None]:
    """Hang up, which stops the build, when it is canceled or its time is over. Raises CanceledError, BuildLimitError."""
    over = threading.Event()

    def stop() -> None:
        over.set()
        output.hang_up()

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        with cancel.stopping(output.hang_up):
            yield
    except GitreceiveError:
        cancel.raise_if_requested()
        if not over.is_set():
            raise
    finally:
        timer.cancel()
    if over.is_set():
        raise BuildLimitError(
            f"the build took longer than {seconds} s", hint="make it do less, or raise build.timeout"
        )


def _described(config: Mapping[str, Any], image: str, extra: tuple[ProcessType, ...], log: Log) -> Build:
    processes = {process.name: process for process in extra}
    if config.get("Cmd") or config.get("Entrypoint"):
        processes.setdefault(WEB_PROCESS, ProcessType(WEB_PROCESS))
    if not processes:
        raise BuildError("the image says nothing of what to run", hint="end the Dockerfile with CMD")
    if str(config.get("User") or "").partition(":")[0] in {"", "0", "root"}:
        log.warn("this image runs as root, which targets refuse: end the Dockerfile with USER 1000")
    return Build(
        buildpacks=("dockerfile",),
        processes=tuple(sorted(processes.values(), key=lambda process: process.name)),
        port=_port(config),
        run_image=None,
        layers=(),
        config={key: config[key] for key in _CONFIG if config.get(key)},
        engine_image=image,
    )


def _port(config: Mapping[str, Any]) -> int | None:
    """Of a single ``EXPOSE``; where there are several, nobody knows which is web's."""
    tcp = [port for port in config.get("ExposedPorts") or () if port.endswith("/tcp")]
    return int(tcp[0].partition("/")[0]) if len(tcp) == 1 else None
