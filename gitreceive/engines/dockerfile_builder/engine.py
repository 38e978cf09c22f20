"""The Docker engine's build API, with errors of our own."""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Self, cast

import requests
from docker import auth
from docker import errors as docker_errors
from docker.types import CancellableStream
from docker.utils import parse_bytes
from docker.utils.json_stream import json_stream

from gitreceive import dockerd
from gitreceive.config import BuildSettings
from gitreceive.errors import BrokenOffError, BuildError, ConfigError, cause
from gitreceive.model import AppName, ImageRef, JobId

_TIMEOUT = 60
_CPU_PERIOD = 100_000  # microseconds
_LAST = "last"


class BuildEngine:
    """One engine, reached as ``DOCKER_HOST`` and its companions say. Connects when first used.

    All methods raise UnavailableError where the engine does not answer, BuildError with its own words where it refuses.
    """

    def __init__(self, data_dir: Path) -> None:
        owner = hashlib.sha256(str(data_dir.expanduser().resolve()).encode()).hexdigest()[:12]
        self._prefix = f"gitreceive.{owner}"
        self._lock = threading.Lock()
        self._client: dockerd.Client | None = None

    def build(
        self,
        context: IO[bytes],
        *,
        app: AppName,
        job: JobId,
        arguments: Mapping[str, str],
        nocache: bool,
        limits: BuildSettings,
        network: str,
    ) -> "BuildOutput":
        """Begin a build of the tar ``context``, and return when the engine has all of it."""
        memory, disk = bytes_of("memory", limits.memory), bytes_of("disk", limits.disk)
        with _translated("build the Dockerfile"):
            client = self._api()
            response = client.post(
                f"{client.base_url}/v{client.api_version}/build",
                data=context,
                params={
                    "t": self._name(app, job),
                    "rm": "true",
                    "forcerm": "true",
                    "nocache": "true" if nocache else "false",
                    "memory": str(memory),
                    "memswap": str(memory),
                    "cpuperiod": str(_CPU_PERIOD),
                    "cpuquota": str(int(limits.cpus * _CPU_PERIOD)),
                    "networkmode": network,
                    "ulimits": json.dumps([{"Name": "fsize", "Soft": disk, "Hard": disk}]),
                    "buildargs": json.dumps(dict(arguments)),
                },
                headers={"Content-Type": "application/tar", **_registry_header()},
                stream=True,
                timeout=(_TIMEOUT, None),  # a step may be silent for as long as the build may take
            )
            if not response.ok:
                with response:
                    raise BuildError(
                        f"Docker refuses the build: {_message(response)}",
                        hint="see the line of the Dockerfile",
                    )
            return BuildOutput(response)

    def need(self, image: ImageRef) -> None:
        """The engine has the image from here on."""
        with _translated(f"pull {image}"):
            try:
                self._api().inspect_image(str(image))  # type: ignore[no-untyped-call]
            except docker_errors.ImageNotFound:
                self._api().pull(image.repository, tag=str(image.digest))

    def default_runtime(self) -> str:
        with _translated("ask Docker about itself"):
            return str(self._api().info().get("DefaultRuntime") or "")

    def config(self, image: str) -> Mapping[str, Any]:
        with _translated("look at the image"):
            seen = self._api().inspect_image(image)  # type: ignore[no-untyped-call]
            config: Mapping[str, Any] = seen["Config"] or {}
            return config

    def pinned(self, name: str) -> ImageRef | None:
        """What the engine has under the name, by the digest that a registry knows it by; None where it came from none, or is not there."""
        with _translated(f"look at {name}"):
            try:
                seen = self._api().inspect_image(name)  # type: ignore[no-untyped-call]
            except docker_errors.NotFound:
                return None
        known = sorted((_pinned(text) for text in seen.get("RepoDigests") or ()), key=str)
        asked = [ref for ref in known if ref.repository == _repository(name)]
        exactly = [ref for ref in asked if name.endswith(f"@{ref.digest}")]
        return next(iter((*exactly, *asked, *known)), None)

    def keep_for_cache(self, app: AppName, job: JobId) -> None:
        """The app's last image stays, in place of the one before: its layers are the next build's cache."""
        with _translated("tag the image"):
            self._drop(f"{self._repository(app)}:{_LAST}")
            self._api().tag(self._name(app, job), self._repository(app), tag=_LAST)

    def remove(self, app: AppName, job: JobId) -> None:
        """The job's image, unless it is kept for the cache."""
        with _translated("remove the image"):
            self._drop(self._name(app, job))

    def remove_all(self, app: AppName) -> None:
        with _translated("remove the app's images"):
            for image in self._api().images(name=self._repository(app)):
                for tag in image["RepoTags"] or ():
                    self._drop(tag)

    def sweep(self) -> None:
        """Remove the images of jobs whose server was killed."""
        with _translated("remove images of ended builds"):
            for image in self._api().images():
                for tag in image["RepoTags"] or ():
                    if tag.startswith(f"{self._prefix}/") and ":job-" in tag:
                        self._drop(tag)

    def written_bytes(self, containers: Sequence[str]) -> int:
        """What those of them that are still there have written, by Docker's count; what is removed and still open is not in it."""
        if not containers:
            return 0
        with _translated("look at the disk"):
            found = self._api().containers(all=True, size=True, filters={"id": list(containers)})
            return sum(int(one.get("SizeRw") or 0) for one in found)

    def layer_bytes(self, image: str) -> int:
        """What a step has added to the image before it; nothing for one that no step has made, or that is gone."""
        with _translated("look at the image"):
            try:
                made = self._api().inspect_image(image)  # type: ignore[no-untyped-call]
                if not made.get("Parent"):
                    return 0
                below = self._api().inspect_image(made["Parent"])  # type: ignore[no-untyped-call]
            except docker_errors.NotFound:
                return 0
            return max(0, int(made["Size"]) - int(below["Size"]))

    def room(self) -> tuple[int, int | None] | None:
        """Bytes, and files (None: any number), that are free where Docker keeps images; None where that is on another host."""
        with _translated("ask Docker about itself"):
            root = Path(self._api().info().get("DockerRootDir") or "/nowhere")
        try:
            disk = os.statvfs(root)
        except OSError:
            return None
        return disk.f_bavail * disk.f_frsize, disk.f_favail if disk.f_files else None

    def seen(self) -> tuple[str, str, int | None]:
        """Version and storage in words, and the bytes free where images are kept; None where that is on another host."""
        with _translated("ask Docker about itself"):
            client = self._api()
            version, info = client.version(), client.info()
        words, storage = f"{version['Version']}, API {version['ApiVersion']}", str(info["Driver"])
        root = Path(info.get("DockerRootDir") or "/nowhere")
        try:
            return words, storage, shutil.disk_usage(root).free
        except OSError:
            return words, storage, None

    def _drop(self, name: str) -> None:
        try:
            self._api().remove_image(name)
        except docker_errors.NotFound:
            return
        except docker_errors.APIError as error:
            if error.status_code != 409:  # something runs on it
                raise

    def _repository(self, app: AppName) -> str:
        return f"{self._prefix}/{app}"

    def _name(self, app: AppName, job: JobId) -> str:
        return f"{self._repository(app)}:job-{job}"

    def _api(self) -> dockerd.Client:
        with self._lock:
            if self._client is None:
                self._client = dockerd.connect()
            return self._client


class BuildOutput:
    """The engine's account of a build as it comes. ``hang_up`` ends it and the build with it, from any thread."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self._hung_up = False
        self._stream: Any = CancellableStream(response.raw.stream(decode_content=True), response)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._response.close()

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        try:
            for entry in json_stream(self._stream):
                yield cast("Mapping[str, Any]", entry)
        except (docker_errors.DockerException, ValueError, AttributeError, *dockerd.LOST) as error:
            if not self._hung_up:
                raise BrokenOffError(
                    f"Docker broke off the build: {cause(error)}", hint=dockerd.UP_HINT
                ) from error

    def hang_up(self) -> None:
        self._hung_up = True
        with suppress(docker_errors.DockerException, AttributeError, *dockerd.LOST):  # it has ended already
            self._stream.close()


def _pinned(text: str) -> ImageRef:
    ref = ImageRef.parse(text)
    return replace(ref, repository=_repository(ref.repository))


def _repository(name: str) -> str:
    """With its registry, as Docker completes what people write."""
    plain = name.partition("@")[0]
    stem, _, tag = plain.rpartition(":")
    host, path = auth.resolve_repository_name(stem if stem and "/" not in tag else plain)
    return f"{host}/library/{path}" if host == auth.INDEX_NAME and "/" not in path else f"{host}/{path}"


def _registry_header() -> dict[str, str]:
    """The engine pulls base images with them; no step of the build sees them."""
    known = auth.load_config().get_all_credentials()  # type: ignore[no-untyped-call]
    return {"X-Registry-Config": auth.encode_header(known).decode("ascii")} if known else {}


def bytes_of(name: str, text: str) -> int:
    """Of a setting of builds. Raises ConfigError."""
    try:
        return int(parse_bytes(text))
    except docker_errors.DockerException as error:
        raise ConfigError(
            f"build.{name} is {text!r}", hint="write bytes, or a number with k, m or g: 2g"
        ) from error


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["message"]).strip()
    except (ValueError, KeyError):
        return f"HTTP {response.status_code}"


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except docker_errors.APIError as error:
        hint = dockerd.NO_ROOM_HINT if dockerd.no_room(error) else ""
        raise BuildError(f"cannot {what}: {error.explanation or error}", hint=hint) from error
    except (docker_errors.DockerException, *dockerd.LOST) as error:
        raise dockerd.away(error) from error
