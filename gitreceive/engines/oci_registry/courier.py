"""Brings layers to repositories: while the build still goes on, several at a time, and nothing that the registry has anywhere."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import blobs
from gitreceive.engines.oci_registry.reference import Repository
from gitreceive.engines.oci_registry.transport import Errand, Transport
from gitreceive.errors import GitreceiveError, RegistryError
from gitreceive.model import Digest, Layer
from gitreceive.ports import Log

_LOOK = 0.1  # seconds between looks at a request to stop
_REMEMBERED = 4096


class Courier:
    """Thread-safe. What it remembers of where blobs are is for speed only: it may be wrong, or forgotten."""

    def __init__(self, transport: Transport, workers: Executor) -> None:
        self._transport = transport
        self._workers = workers
        self._lock = threading.Lock()
        self._ahead: dict[tuple[Repository, Digest], Future[str]] = {}
        self._places: OrderedDict[Digest, Repository] = OrderedDict()

    @contextmanager
    def sending(self, place: Repository, log: Log, cancel: Cancellation) -> Iterator[Callable[[Layer], None]]:
        """While inside, layers that are handed over go on their way at once; ``deliver`` waits for them. What is still on its way
        when the context is left is given up. Raises CanceledError.
        """
        errand = Errand(log.warn)
        begun: list[tuple[Repository, Digest]] = []

        def send(layer: Layer) -> None:
            if layer.path is None:
                return
            key = (place, layer.blob.digest)
            with self._lock:
                if key not in self._ahead:
                    begun.append(key)
                    self._ahead[key] = self._workers.submit(self._bring, place, layer, errand)

        with cancel.stopping(lambda: errand.request("the work was canceled")):
            try:
                yield send
            finally:
                errand.request("nobody waits for it any more")
                with self._lock:
                    for key in begun:
                        del self._ahead[key]

    def deliver(self, place: Repository, log: Log, layer: Layer, errand: Errand) -> str:
        """Have the layer in the repository; how: ``sent``, or ``held`` where the registry had it. Raises RegistryError, CanceledError.

        One that went ahead and did not arrive is sent anew, as now there is somebody who waits and can be told.
        """
        with self._lock:
            ahead = self._ahead.get((place, layer.blob.digest))
        if ahead is not None and (how := _outcome(ahead, errand)):
            return how
        return self._bring(place, layer, errand, log)

    def saw(self, place: Repository, digests: Iterable[Digest]) -> None:
        """Remember that the repository has these blobs."""
        with self._lock:
            for digest in digests:
                self._places[digest] = place
                self._places.move_to_end(digest)
            while len(self._places) > _REMEMBERED:
                self._places.popitem(last=False)

    def _bring(self, place: Repository, layer: Layer, errand: Errand, log: Log | None = None) -> str:
        digest = layer.blob.digest
        how = "held"
        if not blobs.exists(self._transport, place, digest, errand) and not self._mount(
            place, digest, errand
        ):
            how = "sent"
            self._send(place, layer, errand, log)
        self.saw(place, (digest,))
        return how

    def _mount(self, place: Repository, digest: Digest, errand: Errand) -> bool:
        """Out of another app's repository, such as the same runtime. Where that is refused, the layer is sent."""
        with self._lock:
            origin = self._places.get(digest)
        if origin is None or origin == place:
            return False
        try:
            return blobs.mount(self._transport, place, digest, origin, errand)
        except RegistryError:
            return False

    def _send(self, place: Repository, layer: Layer, errand: Errand, log: Log | None) -> None:
        if layer.path is None:
            raise RegistryError(
                f"the registry no longer has the layer {layer.title} ({layer.blob.digest.short})",
                hint="build it anew: git push -o nocache",
            )
        if log:
            log.detail(f"sending {layer.title} ({human(layer.blob.size)})")
        blobs.send_file(self._transport, place, layer.blob, layer.path, errand)


def human(size: int) -> str:
    """Bytes for people, in powers of ten as registries count them."""
    if size < 1000:
        return f"{size} bytes"
    units = ("kB", "MB", "GB")
    power = next((n for n in range(len(units)) if size < 999.5 * 1000 ** (n + 1)), len(units) - 1)
    value, unit = size / 1000 ** (power + 1), units[power]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def _outcome(ahead: "Future[str]", errand: Errand) -> str | None:
    """How it went; None where it did not."""
    while True:
        errand.raise_if_requested()
        try:
            return ahead.result(_LOOK)
        except TimeoutError:
            continue
        except GitreceiveError:
            return None
