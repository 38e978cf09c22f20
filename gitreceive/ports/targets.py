"""What runs releases."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from gitreceive.cancellation import Cancellation
from gitreceive.errors import NotFoundError
from gitreceive.model import (
    AppName,
    Certificate,
    Check,
    ImageRef,
    LogLine,
    LogQuery,
    ProcessStatus,
    ProcessType,
    Release,
    VolumeStatus,
)
from gitreceive.ports.logs import Log
from gitreceive.ports.one_offs import OneOffs
from gitreceive.ports.provisioning import Provisions
from gitreceive.ports.schedules import Schedules

CertificateSource = Callable[[AppName, str], Certificate]  # by fingerprint; raises NotFoundError


def no_certificates(app: AppName, fingerprint: str) -> Certificate:
    """For targets of apps that have none."""
    raise NotFoundError(f"{app} has no certificate {fingerprint[:12]}")


class Target(OneOffs, Schedules, Provisions, Protocol):
    """What runs releases."""

    def roll_out(self, release: Release, log: Log, cancel: Cancellation) -> None:
        """Replace what runs by ``release`` and return when all its processes are healthy, without dropping a request.

        May be called twice for the same release. Raises RolloutError with the target's own words (after having written
        the crashing process's last lines to the log), or CanceledError; the caller then calls ``put_back``.
        """

    def put_back(self, failed: Release, previous: Release | None, log: Log) -> None:
        """Undo what ``roll_out`` of ``failed`` began: ``previous`` serves, or nothing where there was none."""

    def run_once(self, release: Release, process: ProcessType, log: Log, cancel: Cancellation) -> int:
        """Run one process to its end with the release's image and config, its output in the log; its exit code."""

    def url(self, app: AppName) -> str | None:
        """Where the web process answers; None where there is none."""

    def running(self, app: AppName) -> int | None:
        """The release number that the target itself has on record; None where nothing runs."""

    def processes(self, app: AppName) -> tuple[ProcessStatus, ...]: ...

    def logs(self, app: AppName, query: LogQuery) -> Iterator[LogLine]:
        """By time. With ``follow`` it goes on over restarts and releases until the caller closes the iterator."""

    def volumes(self, app: AppName) -> tuple[VolumeStatus, ...]:
        """What there is of the app's volumes, by name, whether or not anything mounts them. A roll-out makes those that its release names;
        none but ``remove_volume`` and ``destroy`` removes one.
        """

    def remove_volume(self, app: AppName, name: str) -> bool:
        """What is in it is lost. False where there is none. Raises ConflictError where a process of the app mounts it."""

    def secret_names(self, app: AppName, secret: str) -> tuple[str, ...]:
        """The names that a Secret of this name holds for the app. Raises NotFoundError where it is not there, ConflictError where the target has
        no such thing, or no app may have it.
        """

    def destroy(self, app: AppName) -> None:
        """Remove all of the app from the target, its volumes too; no error where there is nothing."""

    def forget_images(self, images: Iterable[ImageRef]) -> None:
        """No release that is kept has these: what the target keeps of them, unless something uses it, can go. No error where there is nothing."""

    def plan(self, release: Release) -> str:
        """What would be applied, as YAML, without asking the target."""

    def check(self) -> Iterable[Check]: ...

    def start(self) -> None:
        """Called once in the server: begin what must live as long as it does (the docker target's forwarder)."""

    def stop(self) -> None: ...
