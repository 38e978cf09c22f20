"""What the tests of ledgers speak of."""

from gitreceive.model import (
    ZERO_COMMIT,
    AppName,
    CommitId,
    Digest,
    Image,
    ImageRef,
    Job,
    ProcessType,
    Push,
    PushOptions,
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
)
LONG = 60.0
BLINK = 0.05


def push(app: AppName = SHOP, user: UserName = ANN, commit: str = "a" * 40) -> Push:
    options = PushOptions(nocache=True, buildpack="gitreceive/python")
    return Push(app, user, "refs/heads/main", ZERO_COMMIT, CommitId(commit), options)


def claimed(ledger: Ledger, seconds: float = LONG) -> Job:
    job = ledger.claim("server-1", seconds)
    assert job
    return job


def go_live(ledger: Ledger, app: AppName = SHOP) -> Job:
    ledger.enqueue(push(app))
    job = claimed(ledger)
    ledger.intend_release(job.id, job.fence, IMAGE)
    ledger.go_live(job.id, job.fence, {"rollout": 2.5})
    return ledger.job(job.id)
