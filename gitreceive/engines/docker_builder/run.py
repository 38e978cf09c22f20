"""One build as values: what it works on, what it is told, what comes out of its channel."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gitreceive.buildpacks.caches import CacheWeight
from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder.builder_image import Recipe
from gitreceive.engines.docker_builder.container import BuildContainer
from gitreceive.engines.docker_builder.events import read_event, require_layers
from gitreceive.engines.docker_builder.failures import failure
from gitreceive.engines.docker_builder.inputs import Inputs
from gitreceive.engines.docker_builder.intake import refuse_leaks, take_layer
from gitreceive.engines.docker_builder.transcript import Transcript
from gitreceive.errors import BuildError, BuildLimitError
from gitreceive.lifecycle import frames
from gitreceive.lifecycle.folder import Folder, Group
from gitreceive.model import Digest, Layer
from gitreceive.ports import BuildRequest, Log

_LAYER_LIMIT = 500  # more than any run time accepts


@dataclass(frozen=True)
class Run:
    request: BuildRequest
    image: Recipe
    inputs: Inputs
    folder: Folder
    transcript: Transcript
    spool: Path
    log: Log
    cancel: Cancellation


@dataclass(frozen=True)
class Outcome:
    layers: tuple[Layer, ...]
    done: Mapping[str, Any]


def given(run: Run, order: Iterable[Group]) -> dict[str, Any]:
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


def take(container: BuildContainer, run: Run, settings: BuildSettings) -> Outcome:
    """Read the channel to its end. Raises the error that a ``failed`` event stands for."""
    layers: list[Layer] = []
    while len(layers) < _LAYER_LIMIT:
        event = read_event(container.receive)
        match event["event"]:
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
                run.request.finished(layers[-1])
                for warning in caches.warnings(title):
                    run.log.warn(warning)
            case "reuse":
                layers.append(_reused(event, run.request))
            case "done" | "failed" as kind:
                container.drain(lambda: run.transcript.ended)
                run.transcript.end()
                if kind == "done":
                    require_layers(event, {layer.title for layer in layers})
                    refuse_leaks(event, run.inputs.patterns)
                    return Outcome(tuple(layers), event)
                if event.get("out_of_memory"):
                    raise memory_error(settings)
                raise failure(event, run.request, run.folder, run.transcript, run.log)
    raise BuildError("the build made more layers than an image can have")


def _reused(event: Mapping[str, Any], request: BuildRequest) -> Layer:
    diff_id = Digest.parse(str(event["diff_id"]))
    if diff_id not in request.previous:
        raise frames.ChannelError("a layer was to be reused that the registry does not have")
    return Layer(str(event["title"]), diff_id, request.previous[diff_id], None)


def memory_error(settings: BuildSettings) -> BuildLimitError:
    return BuildLimitError(
        f"the build ran out of its memory, {settings.memory}",
        hint="let it use less, or ask the operator to raise build.memory",
    )
