"""A push that needs no build: the last build's layers, and the app's own made from the source. No container, no working copy."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, BinaryIO

from gitreceive.buildpacks.inputs import fingerprint, watched
from gitreceive.cancellation import Cancellation
from gitreceive.engines.docker_builder.builder_image import USER
from gitreceive.engines.docker_builder.intake import take_layer
from gitreceive.engines.docker_builder.last_builds import LastBuild
from gitreceive.errors import SourceError
from gitreceive.lifecycle import pack
from gitreceive.lifecycle.folder import Folder
from gitreceive.lifecycle.source import SourceTarError
from gitreceive.model import Digest, Layer
from gitreceive.ports import BuildRequest

_APP = "app"


def remember(
    request: BuildRequest, folder: Folder, settings: str, layers: Sequence[Layer], done: Mapping[str, Any]
) -> LastBuild | None:
    """What to keep of a build that went well; None where the next push needs one whatever it brings."""
    seen = _seen(request, folder, done)
    if seen is None or not layers or layers[-1].title != _APP:
        return None
    kept = tuple((layer.title, str(layer.diff_id)) for layer in layers[:-1])
    return LastBuild(settings, seen, kept, done)


def layers_of(request: BuildRequest, folder: Folder, settings: str, last: LastBuild) -> list[Layer] | None:
    """The last build's layers without the app's, where this source's would be the same; None where it has to be built."""
    if last.settings != settings or _seen(request, folder, last.done) != last.seen:
        return None
    ids = [(title, Digest(diff_id)) for title, diff_id in last.layers]
    if not all(diff_id in request.previous for _, diff_id in ids):
        return None
    return [Layer(title, diff_id, request.previous[diff_id], None) for title, diff_id in ids]


def app_layer(
    request: BuildRequest, path: Path, patterns: Mapping[str, tuple[bytes, ...]], cancel: Cancellation
) -> Layer:
    """What a build would pack as the app's layer. Raises SourceError, BuildError, CanceledError."""
    try:
        with closing(_packed(request.archive, cancel)) as chunks:
            return take_layer(_APP, chunks, path, request.previous, patterns)
    except SourceTarError as error:
        raise SourceError(str(error), hint="push with -o nocache, which builds") from error


def _packed(archive: AbstractContextManager[BinaryIO], cancel: Cancellation) -> Generator[bytes]:
    with archive as stream:
        for chunk in pack.source(stream, "workspace", (USER, USER)):
            cancel.raise_if_requested()
            yield chunk


def _seen(request: BuildRequest, folder: Folder, done: Mapping[str, Any]) -> str | None:
    inputs = done["inputs"]
    if inputs is None:
        return None
    what = watched(folder, inputs, done["buildpacks"], done["tried"])
    return fingerprint(request.tree(), what) if what else None
