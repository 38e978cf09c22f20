"""What the tests of ledgers speak of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.engines.sql_ledger.keyring import Keyring
from gitreceive.model import (
    ZERO_COMMIT,
    AppName,
    AppSettings,
    CommitId,
    Declared,
    Digest,
    Image,
    ImageRef,
    Job,
    ProcessType,
    Promotion,
    Push,
    PushOptions,
    QueueLimits,
    Rebase,
    Redeploy,
    Release,
    Rollback,
    Secret,
    SettingsChange,
    Stack,
    StackRecipe,
    UserName,
)
from gitreceive.ports import Ledger

SHOP, BLOG = AppName("shop"), AppName("blog")
ANN, BOB = UserName("ann"), UserName("bob")
IMAGE = Image(
    ref=ImageRef("127.0.0.1:5000/shop", Digest("sha256:" + "1" * 64)),
    processes=(ProcessType("web", ("gunicorn", "app:app", "--name=ü ' \"")), ProcessType("worker")),
    port=8080,
    buildpacks=("gitreceive/python@1.0",),
    size=123_456_789_012,
    bases=(ImageRef("docker.io/library/python", Digest("sha256:" + "2" * 64)),),
)
COMMIT = CommitId("b" * 40)
LONG = 60.0
BLINK = 0.05

# any key: what matters is that all who open one ledger have the same
_KEY = "c2hvcCBhbmQgYmxvZywgYW5uIGFuZCBib2IsIGtlZXA="


def opened(url: str, queue: QueueLimits | None = None) -> SqlLedger:
    return SqlLedger(url, Keyring(Path("/nonexistent"), _KEY), queue)


def push(app: AppName = SHOP, user: UserName = ANN, commit: str = "a" * 40) -> Push:
    options = PushOptions(nocache=True, buildpack="gitreceive/python")
    return Push(app, user, "refs/heads/main", ZERO_COMMIT, CommitId(commit), options)


def rebase(app: AppName = SHOP, user: UserName = ANN) -> Rebase:
    return Rebase(app, user, "bookworm", 2, force=True)


def promotion() -> Promotion:
    return Promotion(SHOP, ANN, BLOG, 5, Digest(f"sha256:{'a' * 64}"))


def rollback(app: AppName = SHOP, user: UserName = ANN) -> Rollback:
    return Rollback(app, user, 5)


def redeploy(app: AppName = SHOP, user: UserName = ANN) -> Redeploy:
    return Redeploy(app, user)


def settings_change(app: AppName = SHOP, user: UserName = ANN) -> SettingsChange:
    patch = {"formation": {"scale": {"web": 2, "worker": None}}}
    return SettingsChange(app, user, "scale web=2", patch)


def stack(name: str = "bookworm") -> Stack:
    return Stack(
        name=name,
        build=ImageRef("127.0.0.1:5000/stack/build", Digest("sha256:" + "2" * 64)),
        run=ImageRef("127.0.0.1:5000/stack/run", Digest("sha256:" + "3" * 64)),
        build_bytes=5_000_000_000,
        run_bytes=30_000_000,
        packages={"build": ("gcc=12", "make=4"), "run": ("libc6=2.36",)},
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        recipe=StackRecipe("bookworm", ("libgdal32",), None, None),
    )


def claimed(ledger: Ledger, seconds: float = LONG) -> Job:
    job = ledger.claim("server-1", seconds)
    assert job
    return job


def go_live(ledger: Ledger, app: AppName = SHOP, config: Mapping[str, Secret] | None = None) -> Job:
    ledger.enqueue(push(app))
    job = claimed(ledger)
    intend(ledger, job, config=config)
    ledger.go_live(job.id, job.fence, {"rollout": 2.5})
    return ledger.job(job.id)


def intend(
    ledger: Ledger,
    job: Job,
    image: Image = IMAGE,
    config: Mapping[str, Secret] | None = None,
    settings: AppSettings | None = None,
    declared: Declared | None = None,
) -> Release:
    return ledger.intend_release(job.id, job.fence, image, COMMIT, "Deploy it", config, settings, declared)
