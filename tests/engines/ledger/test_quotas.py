"""Quotas: kept, found for an app, and held to when a push is to be worked on."""

import pytest

from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import AppName, JobState, Quota, QuotaKind, Use, UserName, require_within_quota
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, BOB, LONG, SHOP, push, redeploy

WEB = UserName("web")
API = AppName("api")


@pytest.fixture
def team(ledger: Ledger) -> Ledger:
    """Shop and api are ann's, blog is bob's; both are in team web."""
    ledger.create_app(API, ANN, "main")
    ledger.create_team(WEB)
    for name in (ANN, BOB):
        ledger.add_user(name, admin=False)
        ledger.add_member(WEB, name)
    return ledger


def test_a_quota_holds_for_the_apps_under_it(team: Ledger) -> None:
    own = Quota(QuotaKind.APP, SHOP, memory=1 << 30)
    of_ann = Quota(QuotaKind.USER, ANN, replicas=5)
    of_web = Quota(QuotaKind.TEAM, WEB, builds=1, memory=4 << 30, replicas=20)
    for quota in (of_web, of_ann, own):
        team.set_quota(quota)
    assert team.quotas() == (own, of_web, of_ann)
    assert team.quotas_of(SHOP) == ((own, (SHOP,)), (of_web, (API, BLOG, SHOP)), (of_ann, (API, SHOP)))
    assert team.quotas_of(BLOG) == ((of_web, (API, BLOG, SHOP)),)
    with pytest.raises(NotFoundError, match="none"):
        team.quotas_of(AppName("none"))


def test_another_quota_is_in_place_of_the_last_and_an_empty_one_is_none(team: Ledger) -> None:
    team.set_quota(Quota(QuotaKind.USER, ANN, builds=1, replicas=5))
    team.set_quota(Quota(QuotaKind.USER, ANN, replicas=7))
    assert team.quotas() == (Quota(QuotaKind.USER, ANN, replicas=7),)
    team.set_quota(Quota(QuotaKind.USER, ANN))
    assert team.quotas() == ()


def test_a_quota_is_of_somebody_who_is_there_and_goes_with_them(team: Ledger) -> None:
    for kind, name in ((QuotaKind.APP, "none"), (QuotaKind.USER, WEB), (QuotaKind.TEAM, ANN)):
        with pytest.raises(NotFoundError, match=name):
            team.set_quota(Quota(kind, name, builds=1))
    for kind, name in ((QuotaKind.APP, BLOG), (QuotaKind.USER, BOB), (QuotaKind.TEAM, WEB)):
        team.set_quota(Quota(kind, name, builds=1))
    team.delete_app(BLOG)
    team.delete_team(WEB)
    team.remove_user(BOB)
    assert team.quotas() == ()


@pytest.mark.parametrize("kind", [QuotaKind.USER, QuotaKind.TEAM])
def test_a_push_waits_where_as_many_are_worked_on_as_the_quota_allows(team: Ledger, kind: QuotaKind) -> None:
    name = ANN if kind is QuotaKind.USER else WEB
    team.set_quota(Quota(kind, name, builds=1))
    first, second = team.enqueue(push(SHOP)), team.enqueue(push(API))
    assert team.held_back(first.id) == ""
    held = team.claim("server-1", LONG)
    assert held
    assert held.id == first.id
    assert team.claim("server-1", LONG) is None
    assert team.held_back(second.id) == f"the quota of {kind} {name} is 1 build at once"
    team.end(held.id, held.fence, JobState.FAILED, "", {})
    assert team.held_back(second.id) == ""
    next_one = team.claim("server-1", LONG)
    assert next_one
    assert next_one.id == second.id


def test_others_are_not_held_back_by_somebodys_quota(team: Ledger) -> None:
    team.set_quota(Quota(QuotaKind.USER, ANN, builds=1))
    team.enqueue(push(SHOP))
    team.enqueue(push(API))
    other = team.enqueue(push(BLOG, BOB))
    claimed = [team.claim("server-1", LONG) for _ in range(3)]
    assert [job and job.cause.app for job in claimed] == [SHOP, BLOG, None]
    assert other.id > 0


def test_a_team_builds_no_more_than_its_quota_whoever_of_it_pushes(team: Ledger) -> None:
    team.set_quota(Quota(QuotaKind.TEAM, WEB, builds=1))
    team.enqueue(push(SHOP))
    team.enqueue(push(BLOG, BOB))
    assert team.claim("server-1", LONG)
    assert team.claim("server-1", LONG) is None
    team.remove_member(WEB, BOB)
    assert team.claim("server-1", LONG)


def test_an_app_whose_quota_is_none_at_all_does_not_build(team: Ledger) -> None:
    team.set_quota(Quota(QuotaKind.APP, SHOP, builds=0))
    job = team.enqueue(push(SHOP))
    assert team.claim("server-1", LONG) is None
    assert "app shop is 0 builds at once" in team.held_back(job.id)


def test_what_builds_nothing_waits_for_no_quota(team: Ledger) -> None:
    team.set_quota(Quota(QuotaKind.USER, ANN, builds=1))
    team.enqueue(redeploy(SHOP))
    team.enqueue(redeploy(API))
    assert team.claim("server-1", LONG)
    assert team.claim("server-1", LONG)


_HALF, _ONE, _TWO = 512 << 20, 1 << 30, 2 << 30


@pytest.mark.parametrize(
    ("quota", "wanted", "before", "others", "said"),
    [
        (Quota(QuotaKind.APP, "shop", replicas=3), Use(0, 4), Use(0, 1), Use(), "is 3 replicas: that would be 4 here"),
        (Quota(QuotaKind.APP, "shop", replicas=3), Use(0, 3), Use(0, 1), Use(), None),
        (Quota(QuotaKind.USER, "ann", replicas=9), Use(0, 4), Use(0, 3), Use(0, 6), "its other apps have 6"),
        (Quota(QuotaKind.USER, "ann", memory=_ONE), Use(_TWO, 1), Use(), Use(), "is 1Gi of memory: that would be 2Gi"),
        (Quota(QuotaKind.TEAM, "web", memory=_ONE), Use(_HALF, 1), Use(), Use(_ONE, 2), "other apps have 1Gi"),
        (Quota(QuotaKind.USER, "ann", replicas=3), Use(0, 5), Use(0, 6), Use(0, 6), None),
        (Quota(QuotaKind.USER, "ann", builds=0), Use(_TWO, 9), Use(), Use(), None),
    ],
)  # fmt: skip
def test_memory_and_replicas_are_counted_with_the_other_apps_and_less_is_always_allowed(
    quota: Quota, wanted: Use, before: Use, others: Use, said: str | None
) -> None:
    if said is None:
        require_within_quota(wanted, before, [(quota, others)])
        return
    with pytest.raises(ConflictError) as caught:
        require_within_quota(wanted, before, [(Quota(QuotaKind.APP, "x"), Use(99, 99)), (quota, others)])
    assert said in caught.value.message
    assert f"quotas set --{quota.kind} {quota.name}" in caught.value.hint
