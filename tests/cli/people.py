"""Keys and pushes for these tests."""

import asyncssh

from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import AppName, CommitId, Job, JobState, Push, PushOptions, UserName

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGz0e4HrDpVfGxQ1LQkzVvzDbPBuRsnqbDwcKAuXwIB0 alice@laptop"


def new_key(comment: str = "") -> str:
    return asyncssh.generate_private_key("ssh-ed25519", comment=comment or None).export_public_key().decode()


def has_key(ledger: SqlLedger, name: str, *, admin: bool = False) -> str:
    """The user is there; their key's fingerprint."""
    key = asyncssh.import_public_key(new_key())
    algorithm, blob = key.export_public_key().decode().split()[:2]
    return ledger.add_key(
        UserName.parse(name), algorithm, blob, "", key.get_fingerprint(), admin=admin
    ).fingerprint


def owns(ledger: SqlLedger, user: str, app: str) -> None:
    has_key(ledger, user)
    ledger.create_app(AppName.parse(app), UserName.parse(user), "main")


def pushed(ledger: SqlLedger, app: str, user: str = "alice") -> Job:
    push = Push(
        AppName.parse(app),
        UserName.parse(user),
        "refs/heads/main",
        CommitId("0" * 40),
        CommitId("c0ffee0" + "1" * 33),
        PushOptions(),
    )
    return ledger.enqueue(push)


def failed(ledger: SqlLedger, job: Job, reason: str) -> Job:
    claimed = ledger.claim("tests", 60)
    assert claimed is not None
    assert claimed.id == job.id
    return ledger.end(job.id, claimed.fence, JobState.FAILED, reason, {"build": 1.5})
