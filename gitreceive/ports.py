"""What the story needs from the world, as Protocols. ``engines/`` has the real ones, ``tests/fakes.py`` the fakes.

All methods block; all may be called from several threads at once. Engines raise only errors of ``errors.py`` and speak
only through the Log they are handed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from gitreceive.cancellation import Cancellation
from gitreceive.model import (
    App,
    AppName,
    Blob,
    Build,
    BuildpackRef,
    Cause,
    Check,
    Choice,
    CommitId,
    Digest,
    Image,
    ImageFacts,
    ImageRef,
    Job,
    JobId,
    JobState,
    Layer,
    LogLine,
    LogQuery,
    ProcessStatus,
    ProcessType,
    Project,
    PublicKey,
    PushOptions,
    Release,
    Secret,
    Source,
    SourceEntry,
    Stack,
    TreeEntry,
    User,
    UserName,
)


class Log(Protocol):
    """The one voice for output of a job: Heroku's dialect."""

    def step(self, text: str) -> None:
        """``-----> text``."""

    def detail(self, text: str) -> None:
        """Seven spaces and the text."""

    def warn(self, text: str) -> None:
        """`` !     text``."""

    def error(self, text: str, hint: str = "") -> None:
        """`` !     text``, and the hint below it."""

    def write(self, chunk: bytes) -> None:
        """Output of a program as it comes, in any pieces, each line indented by seven spaces."""


class LogBook(Protocol):
    """Append-only logs of jobs, read by byte offset. What was appended is what is read: sanitised once, on the way in."""

    def append(self, job: JobId, chunk: bytes) -> None:
        """Add output. Whole lines reach readers at once, half a line within half a second. Bounded: past the limit the
        middle is left out and says so.
        """

    def close(self, job: JobId) -> None:
        """Nothing more comes; what was held back is written. May be called twice."""

    def read(self, job: JobId, offset: int, limit: int = 65536) -> bytes:
        """At most ``limit`` bytes from ``offset``; empty where there is nothing yet."""

    def size(self, job: JobId) -> int:
        """Bytes readable now."""

    def delete(self, job: JobId) -> None:
        """Remove the log; no error where there is none."""


class SourceStore(Protocol):
    """The git repositories. Written by git itself (receive-pack), read here."""

    def create(self, app: AppName) -> None:
        """An empty bare repository; no error where it exists."""

    def delete(self, app: AppName) -> None:
        """Remove the repository and all in it; no error where there is none."""

    def keep(self, app: AppName, job: JobId, commit: CommitId) -> None:
        """Hold the commit under refs/gitreceive/builds/<job>, so that no garbage collection takes it."""

    def release(self, app: AppName, job: JobId) -> None:
        """Let go of what ``keep`` held; no error where nothing is held."""

    def head(self, app: AppName, ref: str) -> CommitId:
        """Where the ref is; ZERO_COMMIT where it does not exist."""

    def check_move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        """Raise StaleError unless ``move`` would do it now: the ref is at ``old`` or ``new``, or at an ancestor of ``new``."""

    def move(self, app: AppName, ref: str, old: CommitId, new: CommitId) -> None:
        """Compare and swap. May be called twice. Raises StaleError like ``check_move``."""

    def entries(self, source: Source, folder: str = "") -> tuple[SourceEntry, ...]:
        """What lies in a folder of the source, sorted by name; empty where there is no such folder."""

    def tree(self, source: Source) -> Iterator[TreeEntry]:
        """All of the source but its folders, in git's order. Raises SourceError."""

    def read(self, source: Source, path: str, limit: int = 1 << 20) -> bytes | None:
        """A file's first ``limit`` bytes; None where there is no such file."""

    def archive(self, source: Source) -> AbstractContextManager[BinaryIO]:
        """The source as a tar stream (git archive of the commit, tar.umask=0022)."""

    def check(self) -> Iterable[Check]:
        """What doctor wants to know."""


@dataclass(frozen=True)
class BuildRequest:
    """All that a builder is told. ``previous`` maps the diff_ids of layers that the registry is known to hold; ``tree`` may be
    called more than once, or never. ``finished`` may be told of each layer whose file is whole, while others are made. ``read``
    is a file of the source by its path, at most so many bytes of it; None where there is no such file. ``choice`` and
    ``project`` are what was read of the whole source: nothing is left out of that yet.
    """

    job: JobId
    source: Source
    options: PushOptions
    stack: Stack | None  # None: only a Dockerfile can be built
    previous: Mapping[Digest, Blob]
    archive: AbstractContextManager[BinaryIO]
    root: tuple[SourceEntry, ...]
    tree: Callable[[], Iterator[TreeEntry]]
    finished: Callable[[Layer], None] = lambda _layer: None
    read: Callable[[str, int], bytes | None] = lambda _path, _limit: None
    choice: Choice = field(default_factory=Choice)
    project: Project = field(default_factory=Project)


@dataclass(frozen=True)
class FetchedBuildpack:
    """A buildpack from elsewhere, on the server's disk. ``folder`` is laid like a folder of buildpacks that has no ``order.toml``:
    a Cloud Native Buildpack is ``ID/VERSION`` in it, with each slash in the id written _, and a composite one's parts lie beside
    it; a classic one is ``NAME``, and its id ``classic/NAME``. It stays as it is.
    """

    id: str
    version: str
    folder: Path


class BuildpackSource(Protocol):
    """Where buildpacks that the server does not have come from: images in registries, and archives."""

    def pin(self, ref: BuildpackRef, cancel: Cancellation) -> BuildpackRef:
        """The same with its digest, asked for where it has none; a pinned one comes back as it is, and nobody is asked.

        Raises ForbiddenError where ``build.buildpack_sources`` does not have it, UsageError for what is no image or archive,
        RegistryError, UnavailableError, CanceledError.
        """

    def fetch(self, ref: BuildpackRef, log: Log, cancel: Cancellation) -> FetchedBuildpack:
        """A pinned one, checked and unpacked; one that was fetched before is taken as it was kept, and nobody is asked.

        Raises as ``pin``, UsageError for one that is not pinned, and DetectError for what is no buildpack.
        """


class Builder(Protocol):
    def build(self, request: BuildRequest, log: Log, cancel: Cancellation) -> AbstractContextManager[Build]:
        """Detect and build. Leaving the context removes containers (soon, where it went well) and spooled layers.

        Raises DetectError, BuildError, BuildLimitError, CanceledError, UnavailableError.
        """

    def forget(self, app: AppName) -> None:
        """Remove the app's caches."""

    def sweep(self) -> None:
        """Remove what the builds of a killed server left. Called once, before the first build."""

    def check(self) -> Iterable[Check]:
        """What doctor wants to know."""


class Registry(Protocol):
    def sending(
        self, repository: str, log: Log, cancel: Cancellation
    ) -> AbstractContextManager[Callable[[Layer], None]]:
        """While inside, what is called with a layer sends it in the background, so that it is there when ``publish`` wants it. It does
        not wait and does not fail: ``publish`` does both. Raises CanceledError.
        """

    def publish(self, build: Build, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        """Send what is missing; the digest is the one that the registry confirmed. ``repository`` is without the registry's
        address, e.g. ``shop``. May be called twice. Raises RegistryError, CanceledError.
        """

    def layers(self, image: ImageRef) -> Mapping[Digest, Blob]:
        """diff_id to blob of an image; empty where the registry no longer has it whole. Raises RegistryError."""

    def size(self, image: ImageRef) -> int:
        """Compressed bytes of all layers. Raises RegistryError."""

    def facts(self, image: ImageRef) -> ImageFacts:
        """What the image says of itself. Raises RegistryError, also where the registry no longer has it."""

    def rebase(
        self, image: ImageRef, run_image: ImageRef, repository: str, log: Log, cancel: Cancellation
    ) -> ImageRef:
        """Publish what ``image`` would have been on ``run_image``: its own layers, untouched, on that one's. Nothing is checked but
        that this can be done: whether it should be is the caller's to know. May be called twice. Raises RegistryError,
        CanceledError.
        """

    def check(self) -> Iterable[Check]: ...

    def close(self) -> None:
        """Let go of the connections."""


class RunImages(Protocol):
    """Run images of stacks with the system packages that apps ask for."""

    def run_image(self, stack: Stack, packages: Sequence[str], log: Log, cancel: Cancellation) -> ImageRef:
        """The stack's run image with the packages, NAME or NAME=VERSION: made now, or before, for any app. Raises SourceError for a package
        that there is not, BuildError, BuildLimitError, UnavailableError, RegistryError, CanceledError.
        """


class Target(Protocol):
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

    def destroy(self, app: AppName) -> None:
        """Remove all of the app from the target; no error where there is nothing."""

    def plan(self, release: Release) -> str:
        """What would be applied, as YAML, without asking the target."""

    def check(self) -> Iterable[Check]: ...

    def start(self) -> None:
        """Called once in the server: begin what must live as long as it does (the docker target's forwarder)."""

    def stop(self) -> None: ...


class AppLedger(Protocol):
    def create_app(self, name: AppName, owner: UserName, branch: str) -> App:
        """Raises ConflictError where the name is taken."""

    def app(self, name: AppName) -> App:
        """Raises NotFoundError."""

    def apps(self) -> tuple[App, ...]:
        """By name."""

    def set_buildpacks(self, name: AppName, before: tuple[str, ...], after: tuple[str, ...]) -> App:
        """Compare and swap: ``after`` in place of ``before``. Raises NotFoundError; ConflictError where they are others by now."""

    def delete_app(self, name: AppName) -> None:
        """With its jobs and releases. Raises NotFoundError; ConflictError while a job of it has not ended."""


class KeyLedger(Protocol):
    def add_key(
        self, user: UserName, algorithm: str, blob: str, comment: str, fingerprint: str, *, admin: bool
    ) -> PublicKey:
        """The user is made where new, and made administrator where ``admin``, by a key of their own that is known too.

        Raises ConflictError where the key is known otherwise.
        """

    def keys(self, user: UserName | None = None) -> tuple[PublicKey, ...]: ...

    def remove_key(self, fingerprint: str) -> PublicKey:
        """Raises NotFoundError."""

    def user(self, name: UserName) -> User:
        """Raises NotFoundError."""

    def user_of_key(self, algorithm: str, blob: str) -> User | None:
        """Whole-key comparison; None where nobody has it."""


class JobLedger(Protocol):
    """Jobs and their leases. Order is by id; times are the database's."""

    def enqueue(self, cause: Cause) -> Job:
        """A job for it, at the end of the app's queue. Raises NotFoundError where the app is gone."""

    def job(self, job: JobId) -> Job:
        """Raises NotFoundError."""

    def jobs(self, app: AppName | None = None, limit: int = 20) -> tuple[Job, ...]:
        """Newest first."""

    def ahead(self, job: JobId) -> tuple[Job, ...]:
        """The jobs of the same app that have not ended and come before it, oldest first."""

    def claim(self, holder: str, lease_seconds: float) -> Job | None:
        """The next job to work on, or None: not ended, the first of its app, and its lease free or run out. Unfinished ones
        (left by a dead holder) come first, then the user with the fewest jobs under way, then the oldest. Raises the fence.
        """

    def renew(self, job: JobId, fence: int, lease_seconds: float) -> Job:
        """Keep the lease and see the newest record (a cancel request). Raises LeaseLostError."""

    def request_cancel(self, job: JobId, by: str) -> Job:
        """Raises ConflictError where the job has ended. A queued job ends at once as canceled."""

    def advance(self, job: JobId, fence: int, state: JobState, *, image: Image | None = None) -> Job:
        """Commit the intent of the step that begins now, and the image once it is published. Raises LeaseLostError."""

    def end(self, job: JobId, fence: int, state: JobState, reason: str, seconds: Mapping[str, float]) -> Job:
        """Failed or canceled, and the lease goes; its intended release is gone. Raises LeaseLostError."""


class ReleaseLedger(Protocol):
    def intend_release(
        self,
        job: JobId,
        fence: int,
        image: Image,
        commit: CommitId,
        description: str,
        config: Mapping[str, Secret] | None = None,
    ) -> Release:
        """The app's next release, for this job: one more than the last live one. The same again when called twice. Its scale is the
        last live one's, and so is its config where none is given; its user is the job's. Raises LeaseLostError.
        """

    def go_live(self, job: JobId, fence: int, seconds: Mapping[str, float]) -> Release:
        """In one transaction: the intended release is the app's current one, and the job has ended live."""

    def current_release(self, app: AppName) -> Release | None:
        """The last live one."""

    def release(self, app: AppName, number: int) -> Release:
        """One that is live or was. Raises NotFoundError."""

    def releases(self, app: AppName, limit: int = 20) -> tuple[Release, ...]:
        """Live ones, newest first."""


class StackLedger(Protocol):
    def put_stack(self, stack: Stack) -> Stack:
        """Record it as the next version of its name, whatever its own ``version`` says; as it is recorded."""

    def stack(self, name: str, version: int | None = None) -> Stack | None:
        """That version of it, else the newest."""

    def stacks(self) -> tuple[Stack, ...]:
        """The newest version of each, by name."""

    def stack_versions(self, name: str | None = None) -> tuple[Stack, ...]:
        """All versions, of all stacks or of one: by name, newest first."""


class Ledger(AppLedger, KeyLedger, JobLedger, ReleaseLedger, StackLedger, Protocol):
    """All durable state."""

    def check(self) -> Iterable[Check]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Platform:
    """The engines that were chosen. Made by ``wiring``, used by all above it."""

    sources: SourceStore
    builder: Builder
    registry: Registry
    target: Target
    ledger: Ledger
    logbook: LogBook
    stack: str  # the name of the stack that apps are built on
    run_images: RunImages
