"""Publishing of images that Docker itself built: the engine pushes them; everything else is the registry's."""

import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitreceive import dockerd
from gitreceive.cancellation import Cancellation
from gitreceive.errors import RegistryError, UsageError
from gitreceive.model import Blob, Build, Check, Digest, ImageFacts, ImageRef, Layer, NewReferrer, Referrer
from gitreceive.patience import Patience
from gitreceive.ports import Log, Registry

if TYPE_CHECKING:
    from docker import APIClient

# each attempt is many requests of dockerd's, of which any may fail it; what has arrived is not sent again
_PATIENCE = Patience(attempts=12, first=0.05)
_LOOK = 0.2  # seconds between looks at a request to stop
# what dockerd tells of a layer once it is done with it
_DONE = {"Pushed": "sent", "Layer already exists": "already there"}
_MOUNTED = re.compile(r"Mounted from ")


def connect() -> "APIClient":
    """A client of the engine that DOCKER_HOST names, speaking the newest version that both know. Raises UnavailableError."""
    from docker.errors import DockerException

    try:
        return dockerd.connect()
    except DockerException as error:
        raise dockerd.away(error) from error


class DockerPush:
    """A Registry around another: builds with an ``engine_image`` are pushed by Docker and then looked for in the registry itself."""

    def __init__(
        self,
        registry: Registry,
        address: str,
        client: Callable[[], "APIClient"] = connect,
        patience: Patience = _PATIENCE,
    ) -> None:
        """``address`` is HOST[:PORT][/PREFIX], as the registry has it."""
        self._registry = registry
        self._address = address.strip("/")
        self._client = client
        self._patience = patience

    def publish(self, build: Build, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        """The digest is the one that Docker reports and that the registry then has."""
        if build.engine_image is None:
            return self._registry.publish(build, repository, log, cancel)
        name = f"{self._address}/{repository}"
        digest = self._pushed(build.engine_image, name, log, cancel)
        ref = ImageRef(name, digest)
        size = self._registry.size(ref)
        log.detail(f"image of {size / 1e6:.1f} MB, digest {digest}")
        return ref

    def sending(
        self, repository: str, log: Log, cancel: Cancellation
    ) -> AbstractContextManager[Callable[[Layer], None]]:
        return self._registry.sending(repository, log, cancel)

    def layers(self, image: ImageRef) -> Mapping[Digest, Blob]:
        return self._registry.layers(image)

    def size(self, image: ImageRef) -> int:
        return self._registry.size(image)

    def facts(self, image: ImageRef) -> ImageFacts:
        return self._registry.facts(image)

    def rebase(
        self, image: ImageRef, run_image: ImageRef, repository: str, log: Log, cancel: Cancellation
    ) -> ImageRef:
        return self._registry.rebase(image, run_image, repository, log, cancel)

    def copy(self, reference: str, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        return self._registry.copy(reference, repository, log, cancel)

    def contents(self, image: ImageRef) -> tuple[Blob, ...]:
        return self._registry.contents(image)

    def remove(self, image: ImageRef) -> bool:
        return self._registry.remove(image)

    def fetch(self, image: ImageRef, blob: Blob, path: Path, cancel: Cancellation) -> None:
        self._registry.fetch(image, blob, path, cancel)

    def attach(self, image: ImageRef, new: NewReferrer, cancel: Cancellation) -> Digest:
        return self._registry.attach(image, new, cancel)

    def detach(self, image: ImageRef, referrer: Digest, cancel: Cancellation) -> None:
        self._registry.detach(image, referrer, cancel)

    def referrers(self, image: ImageRef) -> tuple[Referrer, ...]:
        return self._registry.referrers(image)

    def document(self, image: ImageRef, blob: Blob) -> bytes:
        return self._registry.document(image, blob)

    def copy_referrers(self, image: ImageRef, to: ImageRef, cancel: Cancellation) -> int:
        return self._registry.copy_referrers(image, to, cancel)

    def check(self) -> Iterable[Check]:
        return self._registry.check()

    def close(self) -> None:
        self._registry.close()

    def _pushed(self, image: str, name: str, log: Log, cancel: Cancellation) -> Digest:
        """What the registry has is not sent again, so a push that broke off is begun anew."""
        paused, attempt = 0.0, 0
        while True:
            attempt += 1
            try:
                return _watch(self._push(image, name), log, cancel)
            except RegistryError as error:
                pause = None if dockerd.is_final(error.message) else self._patience.pause(attempt, paused)
                if pause is None:
                    raise
                log.warn(f"{error.message}; trying again in {pause:.1f} s")
            cancel.wait(pause)
            paused += pause

    def _push(self, image: str, name: str) -> Iterator[dict[str, Any]]:
        """What dockerd says while it pushes. The tag is for people, and so that the registry keeps the manifest."""
        import requests
        import urllib3
        from docker.errors import DockerException

        tag = image.removeprefix("sha256:")[:12]
        client = self._client()
        try:
            client.tag(image, name, tag, force=True)
            yield from client.push(name, tag=tag, stream=True, decode=True)
        except (
            DockerException,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            ValueError,
        ) as error:
            raise RegistryError(
                f"Docker cannot push {name}: {error}", hint="see that Docker is up, then push again"
            ) from error
        finally:
            client.close()


def _watch(events: Iterator[dict[str, Any]], log: Log, cancel: Cancellation) -> Digest:
    """Read to the end in a thread, so that a request to stop is heard while dockerd is silent."""
    arrived: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()
    left = threading.Event()

    def read() -> None:
        try:
            for event in events:
                if left.is_set():
                    return  # closes the connection, and dockerd then stops pushing
                arrived.put(event)
        except BaseException as error:  # noqa: BLE001 - raised again by the waiting thread
            arrived.put(error)
        else:
            arrived.put(None)

    threading.Thread(target=read, name="docker-push", daemon=True).start()
    digest: Digest | None = None
    try:
        while (event := _next(arrived, cancel)) is not None:
            digest = _digest(event) or digest
            _tell(event, log)
    finally:
        left.set()
    if digest is None:
        raise RegistryError(
            "Docker pushed the image but named no digest", hint="see Docker's own log, then push again"
        )
    return digest


def _next(
    arrived: "queue.SimpleQueue[dict[str, Any] | BaseException | None]", cancel: Cancellation
) -> dict[str, Any] | None:
    while True:
        cancel.raise_if_requested()
        try:
            event = arrived.get(timeout=_LOOK)
        except queue.Empty:
            continue
        if isinstance(event, BaseException):
            raise event
        if event is not None and ("error" in event or "errorDetail" in event):
            raise _refused(event)
        return event


def _refused(event: Mapping[str, Any]) -> RegistryError:
    detail = event.get("errorDetail")
    said = str(event.get("error") or (detail.get("message") if isinstance(detail, dict) else detail))
    hint = "see that the registry is up and may be written to, then push again"
    if "unauthorized" in said or "denied" in said or "no basic auth" in said:
        hint = "log the server's user in at the registry with docker login"
    elif "HTTP response to HTTPS" in said:
        hint = "list the registry in Docker's insecure-registries (daemon.json)"
    return RegistryError(f"Docker's push failed: {said[:300]}", hint=hint)


def _digest(event: Mapping[str, Any]) -> Digest | None:
    aux = event.get("aux")
    if not isinstance(aux, dict) or "Digest" not in aux:
        return None
    try:
        return Digest.parse(str(aux["Digest"]))
    except UsageError as error:
        raise RegistryError("Docker reported a digest that is none", hint="push again") from error


def _tell(event: Mapping[str, Any], log: Log) -> None:
    status, layer = str(event.get("status", "")), event.get("id")
    word = "taken over" if _MOUNTED.match(status) else _DONE.get(status)
    if layer and word:
        log.detail(f"layer {layer} {word}")
