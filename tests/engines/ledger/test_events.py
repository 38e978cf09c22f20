"""What happened is recorded with the change itself, and stays."""

from datetime import timedelta

import pytest

from gitreceive import acting
from gitreceive.acting import Actor
from gitreceive.errors import ConflictError, UnavailableError
from gitreceive.model import (
    ConfigChange,
    EventQuery,
    Given,
    Happening,
    JobState,
    Outcome,
    Party,
    Quota,
    QuotaKind,
    Reach,
    Role,
    Scope,
    Secret,
    UserName,
    draw_token,
)
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, BOB, SHOP, claimed, go_live, opened, push

BY_KEY = Actor(ANN, key="SHA256:one", address="192.0.2.7")
_ALL = EventQuery(limit=1000)
_DENIED = Happening(BOB, "key SHA256:two", "192.0.2.8", "push", SHOP, "main", Outcome.DENIED, "bob may not")


def happened(ledger: Ledger, query: EventQuery = _ALL) -> list[Happening]:
    return [event.happening for event in ledger.events(query)]


def test_a_change_is_recorded_with_who_made_it_by_what_and_from_where(ledger: Ledger) -> None:
    with acting.acting(BY_KEY) as act:
        ledger.set_buildpacks(SHOP, (), ("gitreceive/python",))
    assert act.recorded
    assert happened(ledger)[0] == Happening(
        ANN, "key SHA256:one", "192.0.2.7", "buildpacks set", SHOP, "gitreceive/python"
    )
    with acting.acting(Actor(ANN, token="abc"), "buildpacks clear"):
        ledger.set_buildpacks(SHOP, ("gitreceive/python",), ())
    newest = happened(ledger)[0]
    assert (newest.verb, newest.via, newest.what) == ("buildpacks clear", "token abc", "none")


def test_a_change_that_was_not_made_is_not_recorded(ledger: Ledger) -> None:
    before = ledger.newest_event()
    with acting.acting(BY_KEY) as act, pytest.raises(ConflictError):
        ledger.create_app(SHOP, BOB, "main")
    assert (act.recorded, ledger.newest_event()) == (False, before)


def test_all_that_changes_who_may_what_is_recorded(ledger: Ledger) -> None:
    web, reach = UserName("web"), Reach(frozenset({Scope.READ}), frozenset({SHOP}))
    ledger.add_user(ANN, admin=False)
    ledger.add_key(ANN, "ssh-ed25519", "A1", "", "SHA256:one", admin=False)
    ledger.change_user(ANN, suspended=True)
    ledger.create_team(web)
    ledger.add_member(web, ANN)
    ledger.give(Given(SHOP, Party(ANN), Role.VIEWER))
    drawn = draw_token()
    ledger.create_token(drawn, ANN, "ci", reach, timedelta(days=1), ANN)
    ledger.set_quota(Quota(QuotaKind.USER, ANN, builds=1))
    ledger.revoke_token(drawn.id)
    ledger.take(SHOP, Party(ANN))
    ledger.remove_member(web, ANN)
    ledger.delete_team(web)
    ledger.remove_key("SHA256:one")
    ledger.set_owner(SHOP, ANN)
    ledger.delete_app(SHOP)
    ledger.remove_user(ANN)
    verbs = [one.verb for one in reversed(happened(ledger))]
    assert verbs == [
        "apps create", "apps create", "users add", "keys add", "users change", "teams create", "teams add",
        "access add", "tokens create", "quotas set", "tokens revoke", "access remove", "teams remove",
        "teams destroy", "keys remove", "access transfer", "apps destroy", "users remove",
    ]  # fmt: skip
    assert drawn.text.reveal().rpartition("_")[2] not in str(happened(ledger))


def test_a_job_is_recorded_when_it_is_asked_for_and_when_it_has_ended(ledger: Ledger) -> None:
    with acting.acting(BY_KEY):
        job = go_live(ledger)
    ended, asked = happened(ledger)[:2]
    assert (asked.verb, asked.user, asked.via, asked.app) == ("push", ANN, "key SHA256:one", SHOP)
    assert asked.what == f"build {job.id}: {job.title}"
    assert (ended.verb, ended.user, ended.via, ended.outcome) == ("build", ANN, "server", Outcome.DONE)
    ledger.enqueue(push())
    held = claimed(ledger)
    ledger.end(held.id, held.fence, JobState.FAILED, "no such module", {})
    failed = happened(ledger)[0]
    assert (failed.outcome, failed.reason) == (Outcome.FAILED, "no such module")


def test_values_of_config_are_in_no_event(ledger: Ledger) -> None:
    ledger.keep_config(SHOP, {}, {"TOKEN": Secret("hunter2")})
    assert "TOKEN" in happened(ledger)[0].what
    go_live(ledger, config={"TOKEN": Secret("hunter2")})
    ledger.enqueue(ConfigChange(SHOP, ANN, {"TOKEN": Secret("hunter3"), "A": Secret("hunter4")}, ("B",)))
    job = claimed(ledger)
    ledger.end(job.id, job.fence, JobState.FAILED, "", {})
    assert "hunter" not in repr(ledger.events(_ALL))


def test_events_are_found_by_app_by_user_and_by_time(ledger: Ledger) -> None:
    ledger.record(_DENIED)
    assert happened(ledger, EventQuery(user=BOB)) == [_DENIED]
    assert {one.verb for one in happened(ledger, EventQuery(app=BLOG))} == {"apps create"}
    assert len(happened(ledger, EventQuery(limit=2))) == 2
    assert happened(ledger, EventQuery(app=BLOG, user=BOB)) == []
    assert len(happened(ledger, EventQuery(since_seconds=3600))) == 3
    assert happened(ledger, EventQuery(since_seconds=0)) == []
    ids = [event.id for event in ledger.events(_ALL)]
    assert ids == sorted(ids, reverse=True)
    assert ids[0] == ledger.newest_event()


def test_what_is_tried_again_and_again_is_recorded_once_in_a_while(ledger: Ledger) -> None:
    before = ledger.newest_event()
    for _ in range(3):
        ledger.record(_DENIED, quiet_seconds=60)
    assert ledger.newest_event() == before + 1
    ledger.record(_DENIED)
    assert ledger.newest_event() == before + 2


def test_events_outlive_whom_and_what_they_are_of(ledger: Ledger) -> None:
    ledger.delete_app(SHOP)
    assert [one.verb for one in happened(ledger, EventQuery(app=SHOP))] == ["apps destroy", "apps create"]


def test_text_that_no_database_takes_is_recorded_as_far_as_it_goes(ledger: Ledger) -> None:
    ledger.record(Happening(ANN, "k\0ey", "x" * 5000, "v" * 200, SHOP, "\ud800", Outcome.FAILED, "\x1b[31m"))
    assert happened(ledger)[0].user == ANN


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET outcome = 'done'",
        "DELETE FROM events",
        "DELETE FROM events WHERE id = 1",
        "INSERT OR REPLACE INTO events SELECT id, at, 'eve', via, address, verb, app, what, outcome, reason FROM events",
        "INSERT INTO events SELECT * FROM events ON CONFLICT (id) DO UPDATE SET what = ''",
        "TRUNCATE events",
    ],
)
def test_the_database_itself_alters_no_event(url: str, change: str) -> None:
    if ("TRUNCATE" in change) == ("sqlite" in url) or ("REPLACE" in change and "sqlite" not in url):
        pytest.skip("the other database's way")
    ledger = opened(url)
    ledger.create_app(SHOP, ANN, "main")
    before = ledger.events(_ALL)
    assert before
    with pytest.raises(UnavailableError), ledger._database.writing() as connection:
        connection.exec_driver_sql(change)
    assert ledger.events(_ALL) == before
    ledger.close()
