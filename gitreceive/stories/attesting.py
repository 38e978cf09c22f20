"""What is said of an image, while it is rolled out: signed before anything of it runs, its bill and its provenance meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError, GitreceiveError
from gitreceive.model import ImageFacts, ImageRef, Release, Stack
from gitreceive.ports import Attested, Ledger, Origin
from gitreceive.stories.chapters import Deployment, phase

_NOTABLE = 0.1  # seconds that a roll-out may wait for it unsaid


@contextmanager
def attested(
    deployment: Deployment, release: Release, *, made: bool, before: ImageRef | None = None
) -> Iterator[None]:
    """``made``: this job has made the image, of ``before`` where it was rebased; else only its bill is looked for. What cannot be made alongside
    the roll-out is told, and does no harm; where it has to be there first, and where a signature is missing, nothing is rolled out: raises
    RegistryError, ConfigError, CanceledError.
    """
    attestor = deployment.platform.attestor
    if attestor is None:
        yield
        return
    signed(deployment, release)

    def attest(cancel: Cancellation) -> Attested:
        origin = _origin(deployment, release, before) if made else None
        return attestor.attest(release.image.ref, origin, cancel)

    if attestor.first:
        with phase(deployment, "attest"):
            _tell(deployment, attest(deployment.cancel))
        yield
        return
    work = _Alongside(attest)
    try:
        yield
    except BaseException:
        work.give_up()
        raise
    _wait_for(deployment, work)


def signed(deployment: Deployment, release: Release) -> None:
    """An image that was live before there was a key is signed as well, when it is rolled out again."""
    attestor, since = deployment.platform.attestor, time.monotonic()
    key = attestor.sign(release.image.ref, deployment.cancel) if attestor else None
    if key is not None:
        deployment.seconds["sign"] = round(time.monotonic() - since, 3)
        deployment.log.detail(f"signed by {key}")


class _Alongside:
    """A thread of its own; it can be stopped, and what goes wrong in it is kept."""

    def __init__(self, work: Callable[[Cancellation], Attested]) -> None:
        self.done: Attested | None = None
        self.failure: Exception | None = None
        self._stop = Cancellation()
        self._work = work
        self._thread = threading.Thread(target=self._run, name="attest", daemon=True)
        self._thread.start()

    def wait(self, cancel: Cancellation) -> None:
        with cancel.stopping(lambda: self._stop.request("the work was canceled")):
            self._thread.join()

    def give_up(self) -> None:
        self._stop.request("what it was made for failed")
        self._thread.join()

    def _run(self) -> None:
        try:
            self.done = self._work(self._stop)
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            self.failure = error


def _wait_for(deployment: Deployment, work: _Alongside) -> None:
    since, log = time.monotonic(), deployment.log
    work.wait(deployment.cancel)
    waited = time.monotonic() - since
    if waited >= _NOTABLE:
        deployment.seconds["attest"] = round(waited, 3)
    if work.done is not None:
        _tell(deployment, work.done)
    elif isinstance(work.failure, CanceledError):
        log.warn("there is no SBOM and no provenance of this image: making them was canceled")
    else:
        said = work.failure.message if isinstance(work.failure, GitreceiveError) else repr(work.failure)
        log.warn(f"there is no SBOM, or no provenance, of this image: {said}")


def _tell(deployment: Deployment, done: Attested) -> None:
    deployment.log.detail(f"SBOM of {done.components} components and provenance are kept beside the image")
    for text in done.missed[:3]:
        deployment.log.warn(f"the SBOM is not whole: {text}")


def _origin(deployment: Deployment, release: Release, before: ImageRef | None) -> Origin:
    facts = deployment.platform.registry.facts(release.image.ref)
    return Origin(deployment.job, release, _stack_below(facts, deployment.platform.ledger), before)


def _stack_below(facts: ImageFacts, ledger: Ledger) -> Stack | None:
    below = facts.stack_image
    return next((stack for stack in ledger.stack_versions() if stack.run == below), None) if below else None
