"""Detect and build in one container start; its layers come out as they are made. Where nothing is to be built, none starts."""

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker.utils
from docker.errors import DockerException

from gitreceive import config
from gitreceive.buildpacks.choice import told_choice
from gitreceive.buildpacks.gather import Gathered, gather
from gitreceive.buildpacks.order import read_folder
from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder import unchanged
from gitreceive.engines.docker_builder.builder_image import recipe
from gitreceive.engines.docker_builder.containers import BuildContainers
from gitreceive.engines.docker_builder.inline import copy_folder
from gitreceive.engines.docker_builder.inputs import read_inputs
from gitreceive.engines.docker_builder.last_builds import LastBuilds
from gitreceive.engines.docker_builder.masked_log import MaskedLog
from gitreceive.engines.docker_builder.result import describe_layers, make_build
from gitreceive.engines.docker_builder.run import Outcome, Run, given
from gitreceive.engines.docker_builder.selected import selected
from gitreceive.engines.docker_builder.speaking import disk_speaks, masked
from gitreceive.engines.docker_builder.transcript import Transcript
from gitreceive.errors import ConfigError, DetectError
from gitreceive.model import AppName, Build, BuildpackRef, Check, Stack
from gitreceive.ports import BuildNetworks, BuildpackSource, BuildRequest, FetchedBuildpack, Log, NoNetworks


class DockerBuilder:
    """A Builder. Raises ConfigError at once for settings that no build could use.

    ``observe`` is given what each build read of its source, as ``lifecycle.observation`` has it; without it nothing is watched.
    ``networks`` are what builds reach; without them, nothing. ``elsewhere`` fetches the buildpacks that a choice names by an image or an archive; without it there are none.
    ``data_dir`` holds the spool; ``owner``, made of it, tells this server's containers and caches from others' on the same Docker engine.
    """

    def __init__(
        self,
        settings: BuildSettings,
        data_dir: Path,
        observe: Callable[[Mapping[str, Any]], object] | None = None,
        *,
        elsewhere: BuildpackSource | None = None,
        networks: BuildNetworks | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self._observe = observe
        self._settings = settings
        self._spool = data_dir / "tmp" / "builds"
        self._last_builds = LastBuilds(data_dir / "builds")
        self.owner = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
        self._path = config.buildpacks_folder(settings)
        self._containers = BuildContainers(settings, self.owner, networks or NoNetworks())
        for name in ("memory", "disk", "disk_reserve"):
            _check_bytes(name, getattr(settings, name))
        read_inputs(settings)

    @contextmanager
    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> Iterator[Build]:
        """As the port promises. Layers that wait to be sent are files until the context is left. After a build that went well,
        nobody waits for the container's removal but who needs it gone: the app's next build, ``forget``, ``sweep``, ``close``.
        """
        with disk_speaks():
            self._spool.mkdir(parents=True, exist_ok=True)
            spool = Path(tempfile.mkdtemp(prefix=f"{request.source.app}-", dir=self._spool))
        try:
            yield self._build(request, log, cancel, spool)
        except BaseException:
            self._containers.wait_for_removals(request.source.app)
            raise
        finally:
            shutil.rmtree(spool, ignore_errors=True)

    def forget(self, app: AppName) -> None:
        """Remove the app's cache volume and what is known of its last build; no error where there is none.

        Raises UnavailableError.
        """
        with disk_speaks():
            self._last_builds.forget(app)
        self._containers.forget(app)

    def cached(self) -> frozenset[AppName]:
        return self._containers.cached()

    def sweep(self) -> None:
        """Remove what a killed server left: its build containers and its spool. Call it once, before the first build."""
        shutil.rmtree(self._spool, ignore_errors=True)
        self._containers.sweep()

    def close(self) -> None:
        """Let go of the connections to Docker, once ended containers are removed."""
        self._containers.close()

    def check(self) -> Iterable[Check]:
        """Docker answers, and the settings for builds can be used."""
        yield from self._containers.check()
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
        inputs = read_inputs(self._settings).over(request.project.env)
        with masked(inputs):
            masked_log = MaskedLog(log, inputs)
            gathered = self._gather(request, spool, masked_log, cancel)
            run = Run(
                request=selected(request),
                image=recipe(request.stack, gathered, self._path),
                inputs=inputs,
                folder=gathered.folder,
                transcript=Transcript(masked_log, secrets.token_hex(8), inputs.wanted),
                spool=spool,
                log=masked_log,
                cancel=cancel,
            )
            return self._outcome(run, request.stack, given(run, gathered.order))

    def _outcome(self, run: Run, stack: Stack, told: Mapping[str, Any]) -> Build:
        request = run.request
        with disk_speaks():
            project = {"include": request.project.include, "exclude": request.project.exclude}
            settings = self._last_builds.seal({**told, "image": run.image.tag, **project})
        left_out = self._leave_out(run, settings)
        observed = {**told, "observe": bool(self._observe)}
        outcome = left_out or self._containers.run(run, observed, run.transcript.mark)
        if self._observe:
            self._observe(outcome.done["observed"])
        build = make_build(request, stack, outcome.done, outcome.layers, run.image.digests)
        if left_out is None:
            self._remember(run, settings, outcome)
        run.log.detail(describe_layers(outcome.layers, request.previous))
        return build

    def _gather(self, request: BuildRequest, spool: Path, log: Log, cancel: Cancellation) -> Gathered:
        def copy(path: str, target: Path) -> None:
            copy_folder(request, path, target)

        def fetch(ref: BuildpackRef) -> FetchedBuildpack:
            if self._elsewhere is None:
                raise DetectError(f"{ref} lies elsewhere, and nothing is fetched here")
            return self._elsewhere.fetch(ref, log, cancel)

        for line in (*request.project.warnings, *told_choice(request.choice)):
            log.detail(line)
        with disk_speaks():
            return gather(request.choice, read_folder(self._path), spool / "buildpacks", copy, fetch)

    def _leave_out(self, run: Run, settings: str) -> Outcome | None:
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
        request.finished(app)
        return Outcome((*layers, app), last.done)

    def _remember(self, run: Run, settings: str, outcome: Outcome) -> None:
        app = run.request.source.app
        last = unchanged.remember(run.request, run.folder, settings, outcome.layers, outcome.done)
        with disk_speaks():
            if last is None:
                self._last_builds.forget(app)
            else:
                self._last_builds.write(app, last)


def _check_bytes(name: str, text: str) -> None:
    try:
        docker.utils.parse_bytes(text)
    except DockerException as error:
        raise ConfigError(f"build.{name} is {text!r}", hint="write such as 512m or 2g") from error
