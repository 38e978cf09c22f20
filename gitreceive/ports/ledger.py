"""All durable state, a Protocol for each part of it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from gitreceive.model import (
    App,
    AppName,
    AppSettings,
    Cause,
    Certificate,
    Check,
    CommitId,
    Declared,
    Drain,
    Image,
    ImageRef,
    InLine,
    Job,
    JobId,
    JobState,
    LedgerMeasures,
    Release,
    Review,
    ReviewRules,
    Secret,
    Stack,
    UserName,
)
from gitreceive.ports.people import (
    AccessLedger,
    EventLedger,
    KeyLedger,
    QuotaLedger,
    TeamLedger,
    TokenLedger,
    UserLedger,
)


class AppLedger(Protocol):
    def create_app(self, name: AppName, owner: UserName, branch: str, review: Review | None = None) -> App:
        """Raises ConflictError where the name is taken."""

    def app(self, name: AppName) -> App:
        """Raises NotFoundError."""

    def apps(self) -> tuple[App, ...]:
        """By name."""

    def set_buildpacks(self, name: AppName, before: tuple[str, ...], after: tuple[str, ...]) -> App:
        """Compare and swap: ``after`` in place of ``before``. Raises NotFoundError; ConflictError where they are others by now."""

    def lock_app(self, name: AppName, user: UserName, reason: str) -> App:
        """From now on nothing changes the app: every method that would raises ConflictError, which says who locked it, when and why.
        Jobs that were asked for before go on. Raises NotFoundError; ConflictError where it is locked already.
        """

    def unlock_app(self, name: AppName) -> App:
        """No error where it is not locked. Raises NotFoundError."""

    def set_reviews(self, name: AppName, before: ReviewRules, after: ReviewRules) -> App:
        """Compare and swap, as ``set_buildpacks``."""

    def keep_review(self, name: AppName, until: datetime) -> App:
        """The review app stays until then. Raises NotFoundError, also for an app that is none."""

    def reviews(self, of: AppName | None = None) -> tuple[App, ...]:
        """The review apps of an app, or all, by name."""

    def config(self, app: AppName) -> Mapping[str, Secret]:
        """What its next release takes over: the live one's, else what was kept for the first. Raises NotFoundError."""

    def keep_config(self, app: AppName, before: Mapping[str, Secret], after: Mapping[str, Secret]) -> None:
        """For the app's first release: compare and swap. Raises NotFoundError; ConflictError where it is another by now, where a release
        is live, and while a job of the app has not ended, which may have taken the config already.
        """

    def delete_app(self, name: AppName) -> None:
        """With its jobs and releases. Raises NotFoundError; ConflictError while a job of it has not ended."""


class DrainLedger(Protocol):
    """Where apps' logs are sent."""

    def add_drain(self, app: AppName, user: UserName, url: Secret, headers: Mapping[str, Secret]) -> Drain:
        """Raises NotFoundError; ConflictError where the app has one with that URL, or MOST_DRAINS already."""

    def drains(self, app: AppName | None = None) -> tuple[Drain, ...]:
        """Of the app or of all, in the order in which they were added."""

    def remove_drain(self, app: AppName, drain: int) -> Drain:
        """Raises NotFoundError."""


class JobLedger(Protocol):
    """Jobs and their leases. Order is by id; times are the database's."""

    def enqueue(self, cause: Cause) -> Job:
        """A job for it, at the end of the app's queue. Domains that it is to set are the app's from now on. Raises NotFoundError where the
        app is gone; ConflictError where it is locked, and where another app has one of the domains, by its name or under a wildcard;
        UnavailableError where as many wait as may.
        """

    def job(self, job: JobId) -> Job:
        """Raises NotFoundError."""

    def jobs(self, app: AppName | None = None, limit: int = 20) -> tuple[Job, ...]:
        """Newest first."""

    def in_line(self) -> tuple[InLine, ...]:
        """All jobs that have not ended, oldest first. Made to be asked for often: nothing of them is opened that is sealed."""

    def held_back(self, job: JobId) -> str:
        """By which quota a job waits that could be worked on otherwise, in words; empty: by none."""

    def claim(self, holder: str, lease_seconds: float) -> Job | None:
        """The next job to work on, or None: not ended, the first of its app, and its lease free or run out. Unfinished ones
        (left by a dead holder) come first, then the user with the fewest jobs under way, of these the one whose turn is the longest ago since there has
        been a queue, then the oldest. No push comes for which a quota of builds is reached: of its
        app, of its user, or of a team of theirs. Raises the fence.
        """

    def hand_over(self, holder: str) -> tuple[JobId, ...]:
        """The jobs that this holder has, oldest first: from now on anybody may claim them, and what it still records of them raises
        LeaseLostError.
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
        settings: AppSettings | None = None,
        declared: Declared | None = None,
    ) -> Release:
        """The app's next release, for this job: one more than the last live one. The same again when called twice. Where none is given,
        its config is what ``config`` says, and its settings what ``settings`` does, and what its source
        declares as for the live one; its user is the job's. Raises LeaseLostError.
        """

    def go_live(self, job: JobId, fence: int, seconds: Mapping[str, float]) -> Release:
        """In one transaction: the intended release is the app's current one, its settings are the app's, and the job has ended live."""

    def current_release(self, app: AppName) -> Release | None:
        """The last live one."""

    def release(self, app: AppName, number: int) -> Release:
        """One that is live or was, and is kept. Raises NotFoundError."""

    def releases(self, app: AppName, limit: int = 20) -> tuple[Release, ...]:
        """Live ones, newest first; also those that are no longer kept."""


class SettingsLedger(Protocol):
    def settings(self, app: AppName) -> AppSettings:
        """As the app has them now; ``runtime`` is that of its next release: the live one's, unless that is changed. Raises NotFoundError."""

    def keep_settings(self, app: AppName, before: AppSettings, after: AppSettings) -> None:
        """For an app of which nothing is live: compare and swap. Raises NotFoundError, ConflictError like ``keep_config``."""

    def settle(self, job: JobId, fence: int, settings: AppSettings, seconds: Mapping[str, float]) -> Job:
        """In one transaction: these are the app's settings, and the job has ended live, with no release. Raises LeaseLostError."""


class CertificateLedger(Protocol):
    """Certificates with their private keys. Which of them an app goes by is in its settings."""

    def keep_certificate(self, app: AppName, certificate: Certificate) -> None:
        """For a change of settings that is to name it. May be called twice."""

    def certificate(self, app: AppName, fingerprint: str) -> Certificate:
        """Raises NotFoundError."""

    def forget_certificates(self, app: AppName) -> None:
        """Those that its settings do not name; while a job of the app has not ended, none."""


class SealedLedger(Protocol):
    """What nobody may read in the ledger's files is sealed with keys that are kept apart from it."""

    def reseal(self) -> int:
        """Seal all anew with the newest key; how many values that were. Raises ConfigError where one cannot be opened: nothing is changed then."""

    def rotate_key(self) -> int:
        """The same with a new key; the old ones are forgotten. Servers that run go on. Raises ConfigError where the keys are not in a file."""


class StackLedger(Protocol):
    def put_stack(self, stack: Stack) -> Stack:
        """Record it as the next version of its name, whatever its own ``version`` says; as it is recorded."""

    def stack(self, name: str, version: int | None = None) -> Stack | None:
        """That version of it, else the newest."""

    def stacks(self) -> tuple[Stack, ...]:
        """The newest version of each, by name."""

    def stack_versions(self, name: str | None = None) -> tuple[Stack, ...]:
        """All versions, of all stacks or of one: by name, newest first."""


class ArchiveLedger(Protocol):
    """Going elsewhere, and coming from there."""

    def backup(self, path: Path) -> None:
        """All of it, as of one moment, into a new file that its owner alone may read; others go on working meanwhile. Raises UsageError where the
        file is there already and where the ledger is no file; UnavailableError.
        """

    def take_over(
        self, app: App, config: Mapping[str, Secret], settings: AppSettings, releases: Sequence[Release]
    ) -> App:
        """In one transaction: the app as it was elsewhere, with its releases by number, oldest first, each as a push that ended live. ``config``
        waits for the first release where there are none. Raises ConflictError where the name, or one of its domains, is taken.
        """


class RetentionLedger(Protocol):
    """An app can be held, so that what is not kept of it can go while nobody works on it: its jobs wait meanwhile."""

    def hold(self, app: AppName, holder: str, seconds: float) -> bool:
        """From now on, and for so long, no job of the app is claimed. Again by the same holder: longer. False where somebody else holds it,
        where a job of it has not ended (unless this holder holds it already), and where the app is gone.
        """

    def unended(self) -> tuple[Job, ...]:
        """The jobs of all apps that have not ended, oldest first."""

    def let_go(self, app: AppName, holder: str) -> None:
        """No error where it is not held, or not by this one."""

    def collect(self, app: AppName, holder: str, numbers: Collection[int]) -> tuple[int, ...]:
        """These releases are no longer kept: their config is forgotten, and ``release`` does not find them. Those of them that were, without the
        live one and those that an unfinished job names, the app's own or a promotion. Raises LeaseLostError where it is not held.
        """

    def forget_images(self, app: AppName, images: Collection[ImageRef]) -> None:
        """The app's ended jobs no longer say that they made these."""


class MeasuredLedger(Protocol):
    def measures(self, after_event: int) -> LedgerMeasures:
        """As of one moment, in a time that does not grow with what has ended: only events with a larger id than ``after_event`` are counted.
        Raises UnavailableError.
        """


class Ledger(
    AppLedger,
    CertificateLedger,
    ArchiveLedger,
    DrainLedger,
    KeyLedger,
    UserLedger,
    TeamLedger,
    AccessLedger,
    TokenLedger,
    EventLedger,
    QuotaLedger,
    JobLedger,
    ReleaseLedger,
    RetentionLedger,
    SealedLedger,
    SettingsLedger,
    StackLedger,
    MeasuredLedger,
    Protocol,
):
    """All durable state."""

    def check(self) -> Iterable[Check]: ...

    def close(self) -> None: ...
