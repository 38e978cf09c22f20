"""A whole platform of fakes, with one app and one user."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gitreceive.cancellation import Cancellation
from gitreceive.jobs import work
from gitreceive.model import (
    ZERO_COMMIT,
    AppName,
    Build,
    Cause,
    CommitId,
    Job,
    Push,
    PushOptions,
    Rebase,
    Stack,
    UserName,
)
from gitreceive.ports import Observer, Platform, Unobserved
from gitreceive.voice import Voice
from tests.fake_ledger import FakeLedger
from tests.fake_logbook import FakeLogBook
from tests.fake_registry import FakeRegistry
from tests.fake_source_store import FakeFile, FakeSourceStore
from tests.fakes import FakeBuilder, FakeRunImages, FakeTarget

SHOP = AppName("shop")
MAIN = "refs/heads/main"


@dataclass
class World:
    passed: timedelta = timedelta()
    ledger: FakeLedger = field(init=False)
    sources: FakeSourceStore = field(default_factory=FakeSourceStore)
    builder: FakeBuilder = field(default_factory=FakeBuilder)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    target: FakeTarget = field(default_factory=FakeTarget)
    logbook: FakeLogBook = field(default_factory=FakeLogBook)
    observer: Observer = field(default_factory=Unobserved)

    def __post_init__(self) -> None:
        self.ledger = FakeLedger(lambda: datetime.now(UTC) + self.passed)
        self.ledger.create_app(SHOP, UserName("ada"), "main")
        self.sources.create(SHOP)

    @property
    def platform(self) -> Platform:
        return Platform(
            self.sources,
            self.builder,
            self.registry,
            self.target,
            self.ledger,
            self.logbook,
            "bookworm",
            self.run_images,
            observer=self.observer,
        )

    @property
    def run_images(self) -> FakeRunImages:
        return FakeRunImages(self.registry)

    def commit(self, text: str, *parents: CommitId) -> CommitId:
        return self.sources.commit(SHOP, {"app.py": FakeFile(text.encode())}, *parents)

    def commit_files(self, files: dict[str, str], *parents: CommitId) -> CommitId:
        made = {name: FakeFile(text.encode()) for name, text in files.items()}
        return self.sources.commit(SHOP, made, *parents)

    def enqueue(self, new: CommitId, old: CommitId | None = None, user: str = "ada") -> Job:
        old = self.head if old is None else old
        job = self.ledger.enqueue(Push(SHOP, UserName(user), MAIN, old, new, PushOptions()))
        self.sources.keep(SHOP, job.id, new)
        return job

    def stack(self, content: str, *, name: str = "bookworm", **labels: str) -> Stack:
        """A version of a stack whose run image holds ``content``."""
        run = Build((), (), None, None, (), {"content": content, "Labels": labels})
        ref = self.registry.publish(run, f"stacks/{name}-run", Voice(lambda _: None), Cancellation())
        return self.ledger.put_stack(Stack(name, ref, ref, 1, 1, {}, datetime.now(UTC)))

    def rebase(self, to: Stack, *, force: bool = False) -> Job:
        return self.ask(Rebase(SHOP, UserName("ada"), to.name, to.version, force))

    def ask(self, cause: Cause) -> Job:
        """For something else than a push, and work on it to its end."""
        self.ledger.enqueue(cause)
        job = self.claim()
        work(job, self.platform, Cancellation())
        return self.ledger.job(job.id)

    def claim(self) -> Job:
        job = self.ledger.claim("server-1", 8)
        assert job is not None
        return job

    def let_leases_run_out(self) -> None:
        self.passed += timedelta(minutes=1)

    def deploy(self, new: CommitId, old: CommitId | None = None) -> Job:
        """Push, and work on it to its end."""
        self.enqueue(new, old)
        job = self.claim()
        work(job, self.platform, Cancellation())
        return self.ledger.job(job.id)

    @property
    def head(self) -> CommitId:
        return self.sources.head(SHOP, MAIN)

    def log(self, job: Job) -> str:
        return self.logbook.read(job.id, 0).decode()


__all__ = ["MAIN", "SHOP", "ZERO_COMMIT", "World"]
