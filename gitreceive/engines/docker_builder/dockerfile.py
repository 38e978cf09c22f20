"""Sources with a Dockerfile, built by Docker itself; the image stays in the Docker engine until it is published."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import docker
import docker.utils
from docker.errors import APIError, DockerException
from urllib3.exceptions import HTTPError

from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder.inputs import Inputs
from gitreceive.errors import BuildError, BuildLimitError, CanceledError, GitreceiveError, UnavailableError
from gitreceive.lifecycle.secrets import Redactor
from gitreceive.model import WEB_PROCESS, Build, ProcessType
from gitreceive.ports import BuildRequest, Log

NAME = "Dockerfile"

_READ = 1 << 18


def is_dockerfile(request: BuildRequest) -> bool:
    """A Dockerfile at the root says how the source is built, unless the push asks for a buildpack."""
    files = {entry.name for entry in request.root if entry.kind in {"file", "executable"}}
    return NAME in files and request.options.buildpack is None


@dataclass(frozen=True)
class Recipe:
    """All that goes into the build of a Dockerfile."""

    request: BuildRequest
    inputs: Inputs
    settings: BuildSettings


def build_dockerfile(client: docker.APIClient, recipe: Recipe, log: Log, cancel: Cancellation) -> Build:
    """``build.env`` and the stack's images are build arguments: a Dockerfile asks with ARG for what it wants.

    Raises BuildError, BuildLimitError, CanceledError, UnavailableError.
    """
    log.step("Building the Dockerfile")
    stop = _Stop()
    seconds = recipe.settings.timeout
    timer = threading.Timer(seconds, stop.request)
    timer.daemon = True
    try:
        timer.start()
        with cancel.stopping(stop.request):
            image = _run(client, recipe, log, stop)
    except (OSError, HTTPError, DockerException, GitreceiveError) as error:
        cancel.raise_if_requested()
        if stop.requested:
            raise BuildLimitError(
                f"the build took longer than {seconds} seconds",
                hint="make it faster, or ask the operator to raise build.timeout",
            ) from error
        raise
    finally:
        timer.cancel()
    return Build(
        buildpacks=("dockerfile",),
        processes=(ProcessType(WEB_PROCESS),),
        port=_port(client.inspect_image(image)),  # type: ignore[no-untyped-call]
        run_image=None,
        layers=(),
        config={},
        engine_image=image,
    )


def remove_image(client: docker.APIClient, image: str) -> None:
    """No error where something else still uses it, or it is gone."""
    with contextlib.suppress(APIError):
        client.remove_image(image, noprune=True)  # what it was made of is the next build's cache


def _run(client: Any, recipe: Recipe, log: Log, stop: "_Stop") -> str:
    with recipe.request.archive as tar:
        # docker-py's own build() gives nothing to stop it by
        response = client._post(  # noqa: SLF001
            client._url("/build"),  # noqa: SLF001
            data=_pieces(tar, stop),
            params=_parameters(recipe.request, recipe.inputs, recipe.settings),
            headers={"Content-Type": "application/tar"},
            stream=True,
            timeout=recipe.settings.timeout,
        )
    if response.status_code >= 400:
        raise BuildError(f"Docker refused the Dockerfile: {_message(response.content)}")
    with contextlib.closing(response):
        stop.watch(client._get_raw_response_socket(response))  # noqa: SLF001
        return _follow(client._stream_helper(response, decode=True), log, Redactor(recipe.inputs.wanted))  # noqa: SLF001


def _parameters(request: BuildRequest, inputs: Inputs, settings: BuildSettings) -> dict[str, Any]:
    arguments = dict(inputs.env)
    if request.stack:
        arguments["GITRECEIVE_BUILD_IMAGE"] = str(request.stack.build)
        arguments["GITRECEIVE_RUN_IMAGE"] = str(request.stack.run)
    memory = docker.utils.parse_bytes(settings.memory)
    return {
        "rm": True,
        "forcerm": True,
        "nocache": request.options.nocache,
        "networkmode": settings.network,
        "memory": memory,
        "memswap": memory,
        "cpuperiod": 100_000,
        "cpuquota": int(settings.cpus * 100_000),
        "buildargs": json.dumps(arguments),
        "labels": json.dumps(
            {
                "org.opencontainers.image.title": str(request.source.app),
                "org.opencontainers.image.revision": str(request.source.commit),
            }
        ),
    }


def _pieces(tar: BinaryIO, stop: "_Stop") -> Iterator[bytes]:
    while piece := tar.read(_READ):
        if stop.requested:
            raise CanceledError("stopped while the source was sent")
        yield piece


def _follow(events: Iterator[Mapping[str, Any]], log: Log, redactor: Redactor) -> str:
    """Docker's account of the build to the log; the image's id."""
    image = ""
    for event in events:
        if "error" in event:
            log.write(redactor.end())
            raise BuildError(f"the Dockerfile failed: {str(event['error']).strip()}")
        log.write(redactor.feed(str(event.get("stream", "")).encode()))
        image = event.get("aux", {}).get("ID", image)
    log.write(redactor.end())
    if not image:
        raise UnavailableError(
            "Docker ended the build without a word", hint="see the Docker engine's own log"
        )
    return image


def _port(image: Mapping[str, Any]) -> int | None:
    """The one TCP port that the image exposes; None where there is none, or more than one."""
    exposed = (image.get("Config") or {}).get("ExposedPorts") or {}
    ports = [int(port.partition("/")[0]) for port in exposed if port.partition("/")[2] in {"", "tcp"}]
    return ports[0] if len(ports) == 1 else None


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:300]


class _Stop:
    """Ends a build by hanging up: Docker then kills what it runs for it."""

    def __init__(self) -> None:
        self.requested = False
        self._lock = threading.Lock()
        self._socket: Any = None

    def watch(self, stream: Any) -> None:
        with self._lock:
            self._socket = getattr(stream, "_sock", stream)
        if self.requested:
            self.request()

    def request(self) -> None:
        with self._lock:
            self.requested = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
