"""The Registry of ports.py, over HTTP."""

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import blobs
from gitreceive.engines.oci_registry.auth import Login, docker_login, login_hint
from gitreceive.engines.oci_registry.courier import Courier, human
from gitreceive.engines.oci_registry.manifest import (
    CONFIG,
    EMPTY_BASE,
    MANIFEST,
    Base,
    Manifest,
    assemble,
    choose,
    diff_ids,
    digest_of,
    parse,
    read_manifest,
)
from gitreceive.engines.oci_registry.recover import build_of, facts_of
from gitreceive.engines.oci_registry.reference import Repository, parse_reference
from gitreceive.engines.oci_registry.referrers import Referrers
from gitreceive.engines.oci_registry.transport import Call, Errand, Patience, Transport
from gitreceive.errors import ConfigError, GitreceiveError, RegistryError, UsageError
from gitreceive.model import Blob, Build, Check, Digest, ImageFacts, ImageRef, Layer, NewReferrer, Referrer
from gitreceive.ports import Log

T = TypeVar("T")

_AT_ONCE = 12
_REMEMBERED = 128


class OciRegistry:
    """Keeps its connections from one publish to the next. ``close`` ends them."""

    def __init__(
        self,
        address: str,
        *,
        insecure: bool,
        environment: Mapping[str, str],
        login: Callable[[str], Login | None] = docker_login,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        way: httpx.BaseTransport | None = None,
    ) -> None:
        """``address`` is HOST[:PORT][/PREFIX]; ``environment`` names the certificate authorities; ``way`` is what requests go
        through, if not straight to the registry. Raises ConfigError.
        """
        host, _, prefix = address.strip("/").partition("/")
        self._host = host
        self._prefix = f"{prefix}/" if prefix else ""
        self._login = login
        self._place("check")
        self._transport = Transport(frozenset({host} if insecure else ()), environment, login, patience, way)
        self._workers = ThreadPoolExecutor(_AT_ONCE, "registry")
        self._courier = Courier(self._transport, self._workers)
        self._referrers = Referrers(self._transport, self._offer)
        self._lock = threading.Lock()
        self._documents: OrderedDict[Digest, bytes] = OrderedDict()

    def close(self) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._transport.close()

    def publish(self, build: Build, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        """Layers that the registry lacks are sent side by side, then the config, then the manifest. Tried again within bounds;
        the digest is the one that the registry confirmed.
        """
        if build.engine_image:
            raise RegistryError(
                f"{build.engine_image[:19]} is in the Docker engine", hint="publish it through Docker"
            )
        place = self._place(repository)
        base = self._together([partial(self._base, build)], cancel, log)[0]
        image = assemble(base, build)
        origin = Repository.parse(base.ref.repository) if base.ref else None
        tasks = [partial(self._bring, place, origin, log, blob) for blob in base.layers]
        tasks += [partial(self._courier.deliver, place, log, layer) for layer in build.layers]
        tasks.append(partial(self._offer, place, image.config))
        outcome = self._together(tasks, cancel, log)
        _tell(log, (*base.layers, *(layer.blob for layer in build.layers)), outcome)
        put = partial(blobs.put_manifest, self._transport, place, image.manifest, MANIFEST)
        ref = ImageRef(str(place), self._together([put], cancel, log)[0])
        self._remember(image.manifest)
        self._remember(image.config)
        log.detail(f"digest {ref.digest}")
        return ref

    def layers(self, image: ImageRef) -> Mapping[Digest, Blob]:
        place = Repository.parse(image.repository)
        errand = Errand()
        found = self._manifest(place, image.digest, errand)
        if found is None or not blobs.has_manifest(self._transport, place, image.digest, errand):
            return {}
        look = [
            partial(blobs.exists, self._transport, place, blob.digest)
            for blob in (found.config, *found.layers)
        ]
        if not all(self._together(look, errand)):
            return {}
        config = parse(self._document(place, found.config.digest, errand), str(image))
        plain = diff_ids(config, str(image))
        if len(plain) != len(found.layers):
            raise RegistryError(
                f"the config and the manifest of {image} disagree",
                hint="push again with: git push -o nocache",
            )
        self._courier.saw(place, (blob.digest for blob in found.layers))
        return dict(zip(plain, found.layers, strict=True))

    def sending(
        self, repository: str, log: Log, cancel: Cancellation
    ) -> AbstractContextManager[Callable[[Layer], None]]:
        return self._courier.sending(self._place(repository), log, cancel)

    def size(self, image: ImageRef) -> int:
        return self._must_have(image, Errand()).size

    def facts(self, image: ImageRef) -> ImageFacts:
        return facts_of(self._standing(image, Errand()).config)

    def rebase(
        self, image: ImageRef, run_image: ImageRef, repository: str, log: Log, cancel: Cancellation
    ) -> ImageRef:
        """The image's own layers are in the registry, and are neither read nor sent."""
        errand = Errand()
        published = self._standing(image, errand)
        below = self._config_below(published, errand)
        return self.publish(replace(build_of(published, below), run_image=run_image), repository, log, cancel)

    def contents(self, image: ImageRef) -> tuple[Blob, ...]:
        place, errand = Repository.parse(image.repository), Errand()
        if not blobs.has_manifest(self._transport, place, image.digest, errand):
            return ()
        found = self._manifest(place, image.digest, errand)
        return (found.config, *found.layers) if found else ()

    def remove(self, image: ImageRef) -> bool:
        """By its digest, which takes its tags with it (OCI distribution spec, "Deleting Manifests"). What refers to it goes first: without the
        image nobody would find it.
        """
        place = Repository.parse(image.repository)
        self._referrers.remove(place, image.digest, Errand())
        there = blobs.delete_manifest(self._transport, place, image.digest, Errand())
        with self._lock:
            self._documents.pop(image.digest, None)
        return there

    def attach(self, image: ImageRef, new: NewReferrer, cancel: Cancellation) -> Digest:
        place = Repository.parse(image.repository)
        return self._together([partial(self._referrers.attach, place, image.digest, new)], cancel)[0]

    def detach(self, image: ImageRef, referrer: Digest, cancel: Cancellation) -> None:
        place = Repository.parse(image.repository)
        self._together([partial(self._referrers.drop, place, image.digest, referrer)], cancel)

    def referrers(self, image: ImageRef) -> tuple[Referrer, ...]:
        return self._referrers.read(Repository.parse(image.repository), image.digest, Errand())

    def document(self, image: ImageRef, blob: Blob) -> bytes:
        return blobs.read(self._transport, Repository.parse(image.repository), blob.digest, Errand())

    def copy_referrers(self, image: ImageRef, to: ImageRef, cancel: Cancellation) -> int:
        origin, place = Repository.parse(image.repository), Repository.parse(to.repository)
        return self._together([partial(self._referrers.copy, origin, place, image.digest)], cancel)[0]

    def check(self) -> Iterator[Check]:
        """That the registry answers, and that it takes uploads."""
        place = self._place("gitreceive-check")
        impatient = Errand()
        try:
            accept = frozenset({200, 401})
            self._transport.once(Call("GET", self._host, "/v2/", accept=accept), impatient)
        except GitreceiveError as error:
            yield Check("registry answers", ok=False, seen=error.message, fix=error.hint)
            return
        yield Check("registry answers", ok=True, seen=self._host)
        try:
            blobs.abandon(self._transport, place, blobs.begin(self._transport, place, impatient), impatient)
        except GitreceiveError as error:
            yield Check("registry takes pushes", ok=False, seen=error.message, fix=error.hint)
        else:
            yield Check("registry takes pushes", ok=True, seen=f"{self._host}/{self._prefix}")

    def credentials(self) -> tuple[str, str] | None:
        """The server's own user name and password for the registry, for pull secrets; None where it needs none. Raises ConfigError."""
        login = self._login(self._host)
        if login and login.identity_token:
            raise ConfigError(
                f"the login for {self._host} is an identity token, which cannot be made a pull secret",
                hint=f"{login_hint(self._host)} with a password or an access token, or set kubernetes.pull_secret = false",
            )
        return (login.username, login.password.reveal()) if login else None

    def copy(self, reference: str, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        """Bring an image from any registry into ours, unchanged: the digest stays. Of several platforms only linux on this machine's
        architecture is taken. Raises RegistryError, CanceledError, UsageError.
        """
        origin, name = parse_reference(reference)
        place = self._place(repository)
        raw, media_type = self._together([partial(self._one_image, origin, name)], cancel, log)[0]
        manifest = read_manifest(raw, reference)
        verb = "taking over" if origin.host == place.host else "copying"
        log.detail(f"{verb} {reference} ({human(manifest.size)})")
        parts = (manifest.config, *manifest.layers)
        self._together([partial(self._bring, place, origin, log, blob) for blob in parts], cancel, log)
        put = partial(blobs.put_manifest, self._transport, place, raw, media_type)
        digest = self._together([put], cancel, log)[0]
        log.detail(f"digest {digest}")
        return ImageRef(str(place), digest)

    def resolve(self, reference: str, cancel: Cancellation) -> ImageRef:
        """The digest that HOST[:PORT]/NAME[:TAG] has now, in any registry. Raises RegistryError, CanceledError, UsageError."""
        origin, name = parse_reference(reference)
        if name.startswith("sha256:"):
            return ImageRef(str(origin), Digest(name))
        find = partial(blobs.read_manifest, self._transport, origin, name)
        found = self._together([find], cancel)[0]
        if found is None:
            raise RegistryError(
                f"there is no image {origin}:{name}", hint="see that its name and tag are right"
            )
        return ImageRef(str(origin), digest_of(self._remember(found[0])))

    def tag(self, image: ImageRef, tag: str, cancel: Cancellation) -> None:
        """Let ``tag`` name the image from now on. Raises RegistryError, CanceledError, UsageError."""
        place, tag = parse_reference(f"{image.repository}:{tag}")
        read = partial(blobs.read_manifest, self._transport, place, image.digest)
        found = self._together([read], cancel)[0]
        if found is None:
            raise RegistryError(f"the registry no longer has {image}", hint="publish it again")

        def put(errand: Errand) -> Digest:
            return blobs.put_manifest(self._transport, place, found[0], found[1], errand, tag)

        self._together([put], cancel)

    def labels(self, image: ImageRef, cancel: Cancellation) -> Mapping[str, str]:
        """What the image says of itself. Raises RegistryError, CanceledError."""
        place = Repository.parse(image.repository)
        manifest = self._together([partial(self._must_have, image)], cancel)[0]
        read = partial(self._document, place, manifest.config.digest)
        runtime = parse(self._together([read], cancel)[0], str(image)).get("config")
        found = runtime.get("Labels") if isinstance(runtime, dict) else None
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

    def blobs(self, image: ImageRef) -> tuple[Blob, ...]:
        """The layers of an image as they are stored, bottom first. Raises RegistryError."""
        return self._must_have(image, Errand()).layers

    def fetch(self, image: ImageRef, blob: Blob, path: Path, cancel: Cancellation) -> None:
        """Download one layer, checked, to ``path``. Raises RegistryError, CanceledError."""
        place = Repository.parse(image.repository)
        self._together([partial(blobs.fetch, self._transport, place, blob, path)], cancel)

    def _place(self, repository: str) -> Repository:
        try:
            place = Repository.parse(f"{self._host}/{self._prefix}{repository}")
        except UsageError as error:
            raise ConfigError(
                f"the registry {self._host}/{self._prefix} cannot hold {repository!r}", hint=error.hint
            ) from error
        if place.host != self._host:
            raise ConfigError(
                f"the registry {self._host!r} is not HOST[:PORT][/PREFIX]",
                hint="such as registry.example.com",
            )
        return place

    def _base(self, build: Build, errand: Errand) -> Base:
        return self._standing(build.run_image, errand) if build.run_image else EMPTY_BASE

    def _standing(self, image: ImageRef, errand: Errand) -> Base:
        """The image as something to stand on, or to take apart. Raises RegistryError where the registry no longer has it."""
        manifest = self._must_have(image, errand)
        place = Repository.parse(image.repository)
        config = parse(self._document(place, manifest.config.digest, errand), str(image))
        return Base(image, manifest.layers, config)

    def _config_below(self, image: Base, errand: Errand) -> Mapping[str, Any]:
        """The config of the run image that the image names; {} where it names none, or the registry no longer has it."""
        below = facts_of(image.config).run_image
        if below is None or self._manifest(Repository.parse(below.repository), below.digest, errand) is None:
            return {}
        return self._standing(below, errand).config

    def _must_have(self, image: ImageRef, errand: Errand) -> Manifest:
        manifest = self._manifest(Repository.parse(image.repository), image.digest, errand)
        if manifest is None:
            raise RegistryError(
                f"the registry no longer has {image}",
                hint="if it is a stack's: gitreceive stack create; if an app's: push again",
            )
        return manifest

    def _manifest(self, place: Repository, digest: Digest, errand: Errand) -> Manifest | None:
        raw = self._recall(digest)
        if raw is None:
            found = blobs.read_manifest(self._transport, place, digest, errand)
            if found is None:
                return None
            raw = self._remember(found[0])
        chosen = choose(raw, f"{place}@{digest}")
        return self._manifest(place, chosen, errand) if chosen else read_manifest(raw, f"{place}@{digest}")

    def _one_image(self, origin: Repository, reference: str, errand: Errand) -> tuple[bytes, str]:
        source = f"{origin}{'@' if reference.startswith('sha256:') else ':'}{reference}"
        found = blobs.read_manifest(self._transport, origin, reference, errand)
        if found is None:
            raise RegistryError(f"there is no image {source}", hint="see that its name and tag are right")
        chosen = choose(found[0], source)
        return self._one_image(origin, chosen, errand) if chosen else found

    def _document(self, place: Repository, digest: Digest, errand: Errand) -> bytes:
        raw = self._recall(digest)
        return raw if raw is not None else self._remember(blobs.read(self._transport, place, digest, errand))

    def _recall(self, digest: Digest) -> bytes | None:
        with self._lock:
            return self._documents.get(digest)

    def _remember(self, content: bytes) -> bytes:
        with self._lock:
            self._documents[digest_of(content)] = content
            while len(self._documents) > _REMEMBERED:
                self._documents.popitem(last=False)
        return content

    def _offer(self, place: Repository, config: bytes, errand: Errand) -> str:
        if not blobs.exists(self._transport, place, digest_of(config), errand):
            blobs.send_bytes(self._transport, place, config, errand)
        return "config"

    def _bring(
        self, place: Repository, origin: Repository | None, log: Log, blob: Blob, errand: Errand
    ) -> str:
        if blobs.exists(self._transport, place, blob.digest, errand):
            return "held"
        if origin is None:
            raise RegistryError(f"nobody has the layer {blob.digest}", hint="create the stack again")
        near = origin.host == place.host
        if near and blobs.mount(self._transport, place, blob.digest, origin, errand):
            return "mounted"
        with tempfile.TemporaryDirectory(prefix="gitreceive-copy-") as folder:
            path = Path(folder) / blob.digest.short
            blobs.fetch(self._transport, origin, blob, path, errand)
            if blob.media_type != CONFIG:
                log.detail(f"sending layer {blob.digest.short} ({human(blob.size)})")
            blobs.send_file(self._transport, place, blob, path, errand)
        return "sent"

    def _together(
        self, tasks: Sequence[Callable[[Errand], T]], cancel: Cancellation, log: Log | None = None
    ) -> list[T]:
        """Run all side by side. The first that fails, or a request to stop, stops the others; the caller does not wait for them."""
        stop = Errand(log.warn) if log else Errand()

        def run(task: Callable[[Errand], T]) -> T:
            stop.raise_if_requested()
            return task(stop)

        with cancel.stopping(lambda: stop.request("the work was canceled")):
            futures = [self._workers.submit(run, task) for task in tasks]
            pending = set(futures)
            try:
                while pending:
                    done, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                    cancel.raise_if_requested()
                    for future in done:
                        future.result()
            except BaseException:
                stop.request("another part of the same work failed")
                raise
        return [future.result() for future in futures]


def _tell(log: Log, layers: Sequence[Blob], outcome: Sequence[str]) -> None:
    for word, verb in (("sent", "sent"), ("mounted", "taken over from the stack"), ("held", "already there")):
        sizes = [blob.size for blob, how in zip(layers, outcome, strict=False) if how == word]
        if sizes:
            log.detail(f"{len(sizes)} layer{'s' if len(sizes) > 1 else ''} {verb} ({human(sum(sizes))})")
