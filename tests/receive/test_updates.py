from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gitreceive.errors import UsageError
from gitreceive.model import ZERO_COMMIT, App, AppName, CommitId, PushOptions, ReviewRules, UserName
from gitreceive.receive.policy import Findings
from gitreceive.receive.updates import (
    MOST_REVIEWS,
    Decision,
    Deploy,
    Refuse,
    Retire,
    Store,
    Update,
    decide,
    one_line,
    parse_update,
)

APP = App(AppName("shop"), UserName("alice"), "main", datetime.now(UTC))
NEW = CommitId("a" * 40)
SEEN = {NEW: Findings(files=1)}


def _decide(
    *refs: str,
    new: CommitId = NEW,
    atomic: bool = False,
    options: tuple[str, ...] = (),
    app: App = APP,
    reviewed: tuple[str, ...] = (),
) -> list[Decision]:
    updates = [Update(ref, ZERO_COMMIT, new) for ref in refs]
    return list(decide(app, updates, options, SEEN, reviewed, remote="ssh://git@host/shop", atomic=atomic))


def test_the_deploy_branch_deploys_with_its_options() -> None:
    (decision,) = _decide("refs/heads/main", options=("nocache",))
    assert decision == Deploy(Update("refs/heads/main", ZERO_COMMIT, NEW), PushOptions(nocache=True))


def test_another_branch_makes_a_review_app_where_somebody_asks_for_one() -> None:
    made = Deploy(Update("refs/heads/fix", ZERO_COMMIT, NEW), PushOptions(review=True), review=True)
    assert _decide("refs/heads/fix", options=("review",)) == [made]
    wanted = replace(APP, reviews=ReviewRules(wanted=True))
    for decision in (*_decide("refs/heads/fix", app=wanted), *_decide("refs/heads/fix", reviewed=("fix",))):
        assert isinstance(decision, Deploy)
        assert decision.review
    (deploy,) = _decide("refs/heads/main", app=wanted)
    assert deploy == Deploy(Update("refs/heads/main", ZERO_COMMIT, NEW), PushOptions())


def test_deleting_a_branch_with_a_review_app_retires_it() -> None:
    assert _decide("refs/heads/fix", new=ZERO_COMMIT, reviewed=("fix",)) == [
        Retire(Update("refs/heads/fix", ZERO_COMMIT, ZERO_COMMIT))
    ]
    (decision,) = _decide("refs/heads/fix", new=ZERO_COMMIT, reviewed=("other",))
    assert isinstance(decision, Refuse)


def test_a_review_of_what_deploys_or_of_what_nobody_inspected_or_of_too_many_is_refused() -> None:
    reasons = {
        "main is what runs; review apps are for other branches": _decide(
            "refs/heads/main", options=("review",)
        ),
        "the server has not inspected this commit": _decide(
            "refs/heads/fix", options=("review",), new=CommitId("b" * 40)
        ),
        f"{MOST_REVIEWS + 1} review apps in one push; at most {MOST_REVIEWS} are made": _decide(
            *(f"refs/heads/fix{number}" for number in range(MOST_REVIEWS + 1)), options=("review",)
        ),
    }
    for reason, decisions in reasons.items():
        assert {d.reason for d in decisions if isinstance(d, Refuse)} == {reason}
        assert all(isinstance(d, Refuse) for d in decisions)


def test_a_commit_that_nobody_inspected_is_refused() -> None:
    (decision,) = _decide("refs/heads/main", new=CommitId("b" * 40))
    assert isinstance(decision, Refuse)
    assert decision.reason == "the server has not inspected this commit"


@pytest.mark.parametrize(
    "ref", ["refs/heads/main/x", "refs/heads/Main", "refs/heads/-x", "refs/heads/$(id)", "refs/notes/x"]
)
def test_a_ref_that_only_looks_like_the_deploy_branch_is_refused(ref: str) -> None:
    (decision,) = _decide(ref)
    assert isinstance(decision, Refuse)


def test_a_ref_named_twice_refuses_all() -> None:
    assert all(isinstance(d, Refuse) for d in _decide("refs/heads/main", "refs/heads/main", "refs/tags/v1"))


def test_each_update_is_decided_on_its_own() -> None:
    kinds = [type(decision) for decision in _decide("refs/heads/main", "refs/heads/other", "refs/tags/v1")]
    assert kinds == [Deploy, Refuse, Store]


def test_one_refusal_refuses_all_of_an_atomic_push() -> None:
    decisions = _decide("refs/heads/main", "refs/heads/other", "refs/tags/v1", atomic=True)
    assert [d.reason for d in decisions if isinstance(d, Refuse)] == [
        "atomic push: refs/heads/other is refused",
        "other is not deployed, main is",
        "atomic push: refs/heads/other is refused",
    ]


@pytest.mark.parametrize(
    "values",
    [
        ("main", "a" * 40, "b" * 40),
        ("refs/heads/x", "a", "b" * 40),
        ("refs/x\x1b[2J", "a" * 40, "b" * 40),
        (1, 2, 3),
    ],
)
def test_a_malformed_update_is_refused(values: tuple[object, object, object]) -> None:
    with pytest.raises(UsageError):
        parse_update(*values)


def test_a_reason_is_one_printable_line_of_at_most_200_characters() -> None:
    assert one_line("a\nb\r\x1b]0;x\x07c \u202e d") == "a b ]0;x c d"
    assert len(one_line("x" * 500)) == 200
    assert one_line("\n") == "refused"
