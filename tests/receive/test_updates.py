from datetime import UTC, datetime

import pytest

from gitreceive.errors import UsageError
from gitreceive.model import ZERO_COMMIT, App, AppName, CommitId, PushOptions, UserName
from gitreceive.receive.policy import Findings
from gitreceive.receive.updates import Decision, Deploy, Refuse, Store, Update, decide, one_line, parse_update

APP = App(AppName("shop"), UserName("alice"), "main", datetime.now(UTC))
NEW = CommitId("a" * 40)
SEEN = {NEW: Findings(files=1)}


def _decide(
    *refs: str, new: CommitId = NEW, atomic: bool = False, options: tuple[str, ...] = ()
) -> list[Decision]:
    updates = [Update(ref, ZERO_COMMIT, new) for ref in refs]
    return list(decide(APP, updates, options, SEEN, remote="ssh://git@host/shop", atomic=atomic))


def test_the_deploy_branch_deploys_with_its_options() -> None:
    (decision,) = _decide("refs/heads/main", options=("nocache",))
    assert decision == Deploy(Update("refs/heads/main", ZERO_COMMIT, NEW), PushOptions(nocache=True))


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
