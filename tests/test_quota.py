"""What a release takes of a quota."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gitreceive.errors import ConflictError
from gitreceive.model import (
    AppName,
    AppSettings,
    CommitId,
    Digest,
    Image,
    ImageRef,
    ProcessType,
    Quota,
    QuotaKind,
    Release,
    Use,
    UserName,
)
from gitreceive.stories.quota import require_room, use_of
from tests.engines.ledger.words import ANN, BLOG, SHOP, claimed, intend, push
from tests.fake_ledger import FakeLedger

_MI = 1 << 20
_IMAGE = Image(
    ImageRef("r.test/shop", Digest("sha256:" + "a" * 64)),
    tuple(ProcessType(name) for name in ("web", "worker", "release")),
    None,
    (),
)


def release(app: AppName = SHOP, **settings: object) -> Release:
    return Release(
        app,
        1,
        _IMAGE,
        CommitId("a" * 40),
        {},
        UserName("ann"),
        "Deploy",
        datetime(2026, 1, 1, tzinfo=UTC),
        AppSettings.parse(settings),
    )


def test_a_release_takes_what_its_processes_take_together() -> None:
    assert use_of(release(), 100 * _MI) == Use(200 * _MI, 2)
    scaled = release(
        formation={"scale": {"web": 3, "worker": 0}}, runtime={"limits": {"web": {"memory": "64Mi"}}}
    )
    assert use_of(scaled, 100 * _MI) == Use(192 * _MI, 3)


def test_an_autoscaler_counts_by_its_most_and_what_is_stopped_not_at_all() -> None:
    auto = {"web": {"least": 1, "most": 9, "cpu": 70}}
    assert use_of(release(formation={"autoscale": auto}), _MI).replicas == 10
    assert use_of(release(formation={"autoscale": auto, "stopped": True}), _MI) == Use()


def live(ledger: FakeLedger, app: AppName) -> Release:
    ledger.enqueue(push(app))
    job = claimed(ledger)
    intend(ledger, job)
    return ledger.go_live(job.id, job.fence, {})


def test_a_release_finds_room_or_is_told_what_there_is() -> None:
    ledger = FakeLedger()
    for app in (SHOP, BLOG):
        ledger.create_app(app, ANN, "main")
    ledger.add_user(ANN, admin=False)
    first = live(ledger, SHOP)
    live(ledger, BLOG)
    three = replace(first, settings=AppSettings.parse({"formation": {"scale": {"web": 3}}}))
    require_room(three, ledger, _MI)
    ledger.set_quota(Quota(QuotaKind.USER, ANN, replicas=6))
    require_room(three, ledger, _MI)
    ledger.set_quota(Quota(QuotaKind.USER, ANN, replicas=5))
    with pytest.raises(
        ConflictError, match="quota of user ann is 5 replicas: that would be 4 here, and its other"
    ):
        require_room(three, ledger, _MI)
    ledger.set_quota(Quota(QuotaKind.USER, ANN, memory=4 * _MI))
    with pytest.raises(
        ConflictError, match="4Mi of memory: that would be 4Mi here, and its other apps have 2Mi"
    ):
        require_room(three, ledger, _MI)
    ledger.set_quota(Quota(QuotaKind.USER, ANN, replicas=1))
    require_room(first, ledger, _MI)  # what it has already


def test_the_first_release_of_an_app_is_held_to_quotas_too() -> None:
    ledger = FakeLedger()
    ledger.create_app(SHOP, ANN, "main")
    ledger.set_quota(Quota(QuotaKind.APP, SHOP, replicas=1))
    with pytest.raises(ConflictError, match="quota of app shop is 1 replica:"):
        require_room(release(), ledger, _MI)
