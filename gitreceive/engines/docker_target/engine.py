"""The Docker engine's API in the few words that the target needs, with errors of our own."""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import docker
import requests
import urllib3
from docker import errors as docker_errors
from docker.utils import kwargs_from_env

from gitreceive.cancellation import Cancellation
from gitreceive.config import process_environment
from gitreceive.errors import RolloutError, UnavailableError, cause
from gitreceive.model import ImageRef

Credentials = Callable[[], tuple[str, str] | None]

_TIMEOUT = 60
_POLL_SECONDS = 0.05
_RESTART: Any = {"Name": "unless-stopped"}
_LOST = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class Engine:
    """One engine, reached as ``DOCKER_HOST`` and its companions say. Connects when first used.

    All methods raise UnavailableError where the engine does not answer, and RolloutError with its own words where it refuses.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None

    @property
    def local(self) -> bool:
        """The engine is on this host, so that the addresses of its containers can be reached."""
        host = process_environment().get("DOCKER_HOST", "")
        return host.startswith(("unix:", "/")) or not host

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def version(self) -> Mapping[str, Any]:
        with _translated("ask Docker for its version"):
            answer: Mapping[str, Any] = self._api().version()
            return answer

    def info(self) -> Mapping[str, Any]:
        with _translated("ask Docker about itself"):
            answer: Mapping[str, Any] = self._api().info()
            return answer

    def list(self, labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
        wanted = [f"{key}={value}" if value else key for key, value in labels.items()]
        with _translated("list containers"):
            return list(self._api().containers(all=True, filters={"label": wanted}))

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        with _translated(f"create {name}"):
            made = self._api().create_container_from_config(dict(body), name)  # type: ignore[no-untyped-call]
            return str(made["Id"])

    def start(self, container: str) -> None:
        with _translated("start a container"):
            self._api().start(container)

    def inspect(self, container: str) -> Mapping[str, Any] | None:
        """None where it is gone."""
        with _translated("look at a container"):
            try:
                answer: Mapping[str, Any] = self._api().inspect_container(container)
            except docker_errors.NotFound:
                return None
            return answer

    def run_in(self, container: str, command: Sequence[str], seconds: float) -> tuple[int, str]:
        """Run it beside the container's process; its exit code and its last line. 124 where it takes longer, as `timeout` has it."""
        with _translated("run a command in a container"):
            made = self._api().exec_create(container, list(command))["Id"]
            found: list[bytes] = []

            def read() -> None:
                with suppress(docker_errors.DockerException, *_LOST):
                    found.append(bytes(self._api().exec_start(made)))

            reader = threading.Thread(target=read, name="exec", daemon=True)
            reader.start()
            reader.join(seconds)
            if reader.is_alive():
                return 124, f"not ended after {seconds:g} s"
            code = self._api().exec_inspect(made)["ExitCode"]
            lines = b"".join(found).decode("utf-8", "replace").strip().splitlines()
            return (1 if code is None else int(code)), " ".join(lines[-1].split()) if lines else ""

    def rename(self, container: str, name: str) -> None:
        with _translated(f"rename a container to {name}"):
            self._api().rename(container, name)

    def keep_running(self, container: str) -> None:
        """From now on Docker starts it again when it ends, and after a restart of its own."""
        with _translated("set a restart policy"):
            self._api().update_container(container, restart_policy=_RESTART)

    def stop(self, container: str, grace: int) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds; no error where it has ended or is gone."""
        with _translated("stop a container"):
            try:
                self._api().stop(container, timeout=grace)
            except docker_errors.NotFound:
                return

    def remove(self, container: str) -> None:
        """At once, running or not; no error where it is gone."""
        with _translated("remove a container"):
            try:
                self._api().remove_container(container, force=True, v=True)
            except docker_errors.NotFound:
                return
            except docker_errors.APIError as error:
                if error.status_code != 409:
                    raise
                self._wait_until_gone(container)  # somebody else removes it at this moment

    def _wait_until_gone(self, container: str) -> None:
        end = time.monotonic() + _TIMEOUT
        while self.inspect(container) is not None:
            if time.monotonic() > end:
                raise RolloutError(
                    f"Docker does not remove container {container[:12]}",
                    hint=f"see `docker inspect {container[:12]}`, and restart Docker if it is stuck",
                )
            time.sleep(_POLL_SECONDS)

    def wait(self, container: str) -> int:
        """Its exit code, once it has ended."""
        with _translated("wait for a container"):
            # no read timeout: a release command may be silent for as long as it likes
            return int(self._api().wait(container, timeout=None)["StatusCode"])

    def tail(self, container: str, lines: int) -> bytes:
        """The last lines that it wrote, both streams; empty where it is gone."""
        with _translated("read a container's log"):
            try:
                return bytes(self._api().logs(container, tail=lines))
            except docker_errors.NotFound:
                return b""

    def log(
        self, container: str, *, tail: int | None, since: float | None, follow: bool, timestamps: bool
    ) -> "Output":
        """What it wrote, both streams; nothing where it is gone. ``since`` is seconds since 1970."""
        with _translated("read a container's log"):
            try:
                stream = self._api().logs(
                    container,
                    stream=True,
                    follow=follow,
                    timestamps=timestamps,
                    tail="all" if tail is None else tail,
                    since=float(since) if since else None,
                )
            except docker_errors.NotFound:
                return Output(None)
            return Output(stream)

    def image_user(self, image: ImageRef) -> str | None:
        """Whom the image says it runs as, empty for root; None where the engine does not have the image."""
        with _translated("look at an image"):
            try:
                seen = self._api().inspect_image(str(image))  # type: ignore[no-untyped-call]
            except docker_errors.NotFound:
                return None
            return str((seen.get("Config") or {}).get("User") or "")

    def pull(self, image: ImageRef, cancel: Cancellation) -> None:
        """Raises RolloutError with the registry's words, CanceledError."""
        credentials = self._credentials()
        auth = {"username": credentials[0], "password": credentials[1]} if credentials else {}
        with _translated(f"pull {image}"):
            progress: Generator[Mapping[str, Any]] = self._api().pull(
                image.repository, tag=image.digest, stream=True, decode=True, auth_config=auth
            )
            for entry in progress:
                cancel.raise_if_requested()
                if "error" in entry:
                    raise RolloutError(f"cannot pull {image}: {entry['error']}", hint=_PULL_HINT)

    def remove_image(self, image: str) -> None:
        """Unless something still uses it; no error where it is gone."""
        with _translated(f"remove {image}"):
            try:
                self._api().remove_image(image)
            except docker_errors.NotFound:
                return
            except docker_errors.APIError as error:
                if error.status_code != 409:
                    raise

    def _api(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                settings = kwargs_from_env(environment=process_environment())
                self._client = docker.APIClient(version="auto", timeout=_TIMEOUT, **settings)
            return self._client


class Output(Iterator[bytes]):
    """Pieces of a container's output. ``close`` ends it, from any thread."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._closed = stream is None

    def __next__(self) -> bytes:
        if self._closed:
            raise StopIteration
        try:
            return bytes(next(self._stream))
        except (docker_errors.DockerException, ValueError, AttributeError, *_LOST):
            if self._closed:  # under our hands
                raise StopIteration from None
            raise UnavailableError("Docker broke off a container's log") from None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with suppress(*_LOST, docker_errors.DockerException):
                self._stream.close()


_PULL_HINT = "check that Docker reaches the registry, and the credentials in ~/.docker/config.json"


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except docker_errors.APIError as error:
        hint = _PULL_HINT if what.startswith("pull") else ""
        raise RolloutError(f"cannot {what}: {error.explanation or error}", hint=hint) from error
    except (docker_errors.DockerException, *_LOST) as error:
        raise UnavailableError(
            f"Docker does not answer: {cause(error)}",
            hint="start Docker, and see DOCKER_HOST and `docker version`",
        ) from error
