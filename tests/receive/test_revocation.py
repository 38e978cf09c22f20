"""What is taken away ends what is open, and not what was accepted; and what was refused is recorded."""

import subprocess
from collections.abc import Callable

import pytest

from gitreceive.model import (
    EventQuery,
    Given,
    Happening,
    Job,
    JobId,
    JobState,
    Outcome,
    Party,
    Role,
    UserName,
)
from gitreceive.voice import Voice
from tests.fake_receive import BuildFailed
from tests.receive.conftest import SHOP, Clone, Place
from tests.receive.pushes import pushing, until

BOB = UserName("bob")
_PATIENCE = 20  # seconds: what takes a second or two may take longer on a busy machine


def happened(place: Place, user: str) -> list[Happening]:
    return [event.happening for event in place.ledger.events(EventQuery(user=UserName(user)))]


def started(place: Place, *words: str, user: str = "bob") -> "subprocess.Popen[str]":
    """A command over SSH that has begun."""
    client = subprocess.Popen(
        ["ssh", *place._options(user), "-p", str(place.port), "git@127.0.0.1", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert client.stdout
    assert client.stdout.readline()
    return client


def _remove_key(place: Place) -> None:
    place.ledger.remove_key("SHA256:bob")


def _remove_user(place: Place) -> None:
    place.ledger.remove_user(BOB)


def _suspend(place: Place) -> None:
    place.ledger.change_user(BOB, suspended=True)


@pytest.mark.parametrize(
    ("take", "said"),
    [
        (_remove_key, "the key SHA256:bob was removed"),
        (_remove_user, "there is no user bob"),
        (_suspend, "bob is suspended"),
    ],
)
def test_what_a_user_has_open_ends_when_what_opened_it_is_taken(
    place: Place, take: Callable[[Place], None], said: str
) -> None:
    client = started(place, "sleep")
    others = started(place, "sleep", user="alice")
    take(place)
    _, err = client.communicate(timeout=_PATIENCE)
    assert (client.returncode, said in err) == (5, True), err
    assert others.poll() is None
    others.kill()
    others.communicate()
    assert place.ssh(user="bob").code == 255


def test_an_accepted_push_goes_live_though_its_key_was_removed(place: Place, clone: Clone) -> None:
    place.ledger.give(Given(SHOP, Party(BOB), Role.DEVELOPER))
    clone.user = "bob"
    place.runner.paused.set()
    with pushing(clone) as push:
        assert push.stderr
        while "Build 1" not in push.stderr.readline():
            pass
        place.ledger.remove_key("SHA256:bob")
        said = push.stderr.read()
    assert "the key SHA256:bob was removed" in said
    assert "a build that was begun goes on" in said
    assert push.returncode != 0
    place.runner.paused.clear()
    until(lambda: place.ledger.job(JobId(1)).state is JobState.LIVE)
    assert place.head() == clone.head


def test_access_that_is_taken_while_a_push_is_watched_ends_the_watching(place: Place, clone: Clone) -> None:
    place.ledger.give(Given(SHOP, Party(BOB), Role.DEVELOPER))
    clone.user = "bob"
    place.runner.paused.set()
    with pushing(clone) as push:
        assert push.stderr
        while "Build 1" not in push.stderr.readline():
            pass
        place.ledger.give(Given(SHOP, Party(BOB), Role.VIEWER))
        assert "bob may no longer deploy shop" in push.stderr.read()
    place.runner.paused.clear()
    until(lambda: place.ledger.job(JobId(1)).state is JobState.LIVE)


def test_a_role_opens_what_it_allows_and_no_more(place: Place, clone: Clone) -> None:
    place.ledger.give(Given(SHOP, Party(BOB), Role.VIEWER))
    clone.user = "bob"
    assert clone.git("ls-remote", place.url()).code == 0
    assert "bob may not push to shop" in clone.push().err
    web = UserName("web")
    place.ledger.create_team(web)
    place.ledger.add_member(web, BOB)
    place.ledger.give(Given(SHOP, Party(web, team=True), Role.DEVELOPER))
    assert clone.push().code == 0
    (denied,) = [one for one in happened(place, "bob") if one.outcome is Outcome.DENIED]
    assert (denied.verb, denied.app, denied.via) == ("push", SHOP, "key SHA256:bob")
    assert (denied.address, denied.reason) == ("127.0.0.1", "bob may not push to shop")
    (pushed,) = [one for one in happened(place, "bob") if one.outcome is Outcome.DONE and one.verb == "push"]
    assert (pushed.via, pushed.address) == ("key SHA256:bob", "127.0.0.1")


def test_a_push_that_breaks_a_rule_is_recorded_with_the_reason(place: Place, clone: Clone) -> None:
    clone.push("main:refs/heads/feature")
    refused = happened(place, "alice")[0]
    assert (refused.verb, refused.what, refused.outcome) == ("push", "refs/heads/feature", Outcome.FAILED)
    assert refused.reason


def test_a_push_that_is_refused_in_quarantine_is_recorded(unstarted: Place) -> None:
    unstarted.policy(max_files=1)
    unstarted.start()
    clone = Clone(unstarted, unstarted.folder / "clone")
    clone.commit(a_py="1", b_py="2")
    assert clone.push().code == 1
    refused = happened(unstarted, "alice")[0]
    assert (refused.verb, refused.outcome) == ("push", Outcome.FAILED)
    assert "refs/heads/main" in refused.what


def test_a_login_that_is_refused_to_somebody_known_is_recorded_once_in_a_while(place: Place) -> None:
    place.ledger.change_user(BOB, suspended=True)
    for _ in range(2):
        assert "Permission denied" in place.ssh(user="bob").err
    (refused,) = happened(place, "bob")
    assert (refused.verb, refused.outcome) == ("login", Outcome.DENIED)
    assert (refused.via, refused.address) == ("key SHA256:bob", "127.0.0.1")


def test_a_build_is_recorded_when_it_ends_however_it_ends(place: Place, clone: Clone) -> None:
    def fail(_job: Job, voice: Voice) -> None:
        raise BuildFailed("no such module")

    place.runner.run = fail
    clone.push()
    ended = happened(place, "alice")[0]
    assert (ended.verb, ended.outcome, ended.reason) == ("build", Outcome.FAILED, "no such module")
