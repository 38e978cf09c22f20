"""A finished build as the value that is published."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gitreceive.engines.docker_builder.builder_image import USER
from gitreceive.errors import BuildError, UsageError
from gitreceive.lifecycle.image import lifecycle_label
from gitreceive.model import BUILDPACKS_LABEL, Blob, Build, Digest, Layer, ProcessType, Stack
from gitreceive.ports import BuildRequest

_PLATFORM_API = "0.15"  # as whose labels and layout tools read the image
_PATH = "/cnb/process:/cnb/lifecycle:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_build(
    request: BuildRequest,
    stack: Stack,
    done: Mapping[str, Any],
    layers: tuple[Layer, ...],
    digests: Mapping[str, str],
) -> Build:
    """``done`` is the lifecycle's last event, ``digests`` those of buildpacks, by ID@VERSION. Raises BuildError for a process type that cannot be one."""
    default = done["default"]
    entrypoint = f"/cnb/process/{default}" if default else "/cnb/lifecycle/launcher"
    config: dict[str, object] = {
        "Env": [
            f"PATH={_PATH}",
            "CNB_LAYERS_DIR=/layers",
            "CNB_APP_DIR=/workspace",
            f"CNB_PLATFORM_API={_PLATFORM_API}",
        ],
        "Entrypoint": [entrypoint],
        "WorkingDir": "/workspace",
        "User": f"{USER}:{USER}",
        "Labels": {
            **done["labels"],
            "io.buildpacks.lifecycle.metadata": lifecycle_label(
                done["contents"], [(layer.title, layer.diff_id) for layer in layers]
            ),
            "io.buildpacks.project.metadata": _project(request),
            BUILDPACKS_LABEL: _encode(
                {name: digests[name] for name in done["buildpacks"] if name in digests}
            ),
            # only files of their own lie above the run image: /cnb, /layers, the app, and /app as a link to it
            "io.buildpacks.rebasable": "true",
            "org.opencontainers.image.title": str(request.source.app),
            "org.opencontainers.image.revision": str(request.source.commit),
            "org.opencontainers.image.base.name": str(stack.run),
            "org.opencontainers.image.base.digest": str(stack.run.digest),
        },
    }
    return Build(
        buildpacks=tuple(done["buildpacks"]),
        processes=tuple(_process(name) for name in done["processes"]),
        port=None,
        run_image=stack.run,
        layers=layers,
        config=config,
    )


def _project(request: BuildRequest) -> str:
    """Platform API, "io.buildpacks.project.metadata"."""
    source = {"type": "git", "version": {"commit": str(request.source.commit)}}
    return _encode({"source": source})


def _encode(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def describe_layers(layers: Sequence[Layer], previous: Mapping[Digest, Blob]) -> str:
    """One line for people: each layer with its compressed size, the app first."""
    own = [layer for layer in layers if layer.title not in {"launcher", "config", "sbom"}]
    shown = [
        f"{layer.title.rpartition(':')[2]} {_size(layer.blob.size)}"
        + (" (reused)" if layer.diff_id in previous else "")
        for layer in reversed(own)
    ]
    return f"layers: {', '.join(shown)}"


def _process(name: str) -> ProcessType:
    try:
        return ProcessType(ProcessType.parse_name(name), (f"/cnb/process/{name}",))
    except UsageError as error:
        raise BuildError(error.message, hint=error.hint) from error


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
