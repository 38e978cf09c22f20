"""What scripts/chaos complains of, and in which order it kills."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from scripts.survival.invariants import (
    AppFacts,
    Instance,
    JobFacts,
    Seen,
    complaints,
    complaints_at_rest,
)
from scripts.survival.killing import VICTIMS, each_point, order
from scripts.survival.looking import head
from scripts.survival.stages import STAGES, most_advanced, stages_of_points
from scripts.survival.telling import by, seconds, table
from tests.crash_points import POINTS

_DIGEST = "sha256:" + "a" * 64
_WHOLE = Seen(
    jobs=(
        JobFacts(1, "shop", "live", "", "c1", 1, "-----> shop v1 is live after 2.0 s\n"),
        JobFacts(2, "shop", "failed", "web crashed: exit 1", "c2", None, " !     web crashed: exit 1\n"),
        JobFacts(3, "shop", "live", "", "c3", 2, "-----> shop v2 is live after 2.0 s\n"),
    ),
    apps=(
        AppFacts(
            "shop",
            releases=(1, 2),
            commit="c3",
            digest=_DIGEST,
            processes={"web": 1},
            head="c3",
            running=(Instance("web", 2, _DIGEST),),
            answers="c3\n",
            says="c3\n",
        ),
    ),
    accepted={"shop": frozenset({"c1", "c3"})},
    begun=frozenset({1, 2, 3}),
)
_SHOP = _WHOLE.apps[0]


def test_nothing_is_complained_of_where_nothing_is_lost() -> None:
    assert complaints(_WHOLE) == ()
    assert complaints(Seen((), (AppFacts("new"),))) == ()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"state": "building"}, "build 1 of shop has not ended: it is building"),
        ({"state": "failed", "release": None}, "build 1 of shop is failed, and nobody knows why"),
        ({"log": "-----> Building\n"}, "the log of build 1 of shop lacks its end"),
    ],
)
def test_each_build_has_ended_with_its_reason_and_its_log(change: dict[str, str], complaint: str) -> None:
    seen = replace(_WHOLE, jobs=(replace(_WHOLE.jobs[0], **change), *_WHOLE.jobs[1:]))  # type: ignore[arg-type]
    assert any(text.startswith(complaint) for text in complaints(seen))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"releases": (1, 3)}, "shop has the releases [1, 3], not [1, 2]"),
        ({"releases": (1, 2, 2)}, "shop has the releases [1, 2, 2], not [1, 2, 3]"),
        ({"head": "c2"}, "the branch of shop is at c2, its live commit is c3"),
        ({"head": ""}, "the branch of shop is at nothing"),
        ({"held": "by gc"}, "shop is locked: by gc"),
        ({"running": (Instance("web", 1, _DIGEST),)}, "shop runs web of v1"),
        ({"running": (Instance("web", 2, "sha256:b"),)}, "shop runs web of v2 (sha256:b)"),
        ({"running": ()}, "shop runs {'web': 0}, not {'web': 1}"),
        ({"answers": "c1\n"}, "shop answers 'c1\\n', not 'c3\\n'"),
        ({"answers": None}, "shop answers None"),
    ],
)
def test_each_app_is_what_the_ledger_says(change: dict[str, object], complaint: str) -> None:
    seen = replace(_WHOLE, apps=(replace(_SHOP, **change),))  # type: ignore[arg-type]
    assert any(text.startswith(complaint) for text in complaints(seen)), complaints(seen)


def test_what_a_client_was_told_is_so() -> None:
    false_success = replace(_WHOLE, accepted={"shop": frozenset({"c2"})})
    assert complaints(false_success) == (
        "a client was told that c2 of shop is live, but no build of it ended so",
    )
    lost = replace(_WHOLE, begun=frozenset({1, 9}))
    assert complaints(lost) == ("a client was told of build 9, which the ledger does not know",)


def test_what_is_left_behind_is_named() -> None:
    assert complaints(replace(_WHOLE, strays=("volume x",))) == ("left behind: volume x",)


def test_the_same_seed_gives_the_same_order_and_another_one_another() -> None:
    def first(seed: int) -> list[object]:
        return list(islice(order(seed, tuple(VICTIMS)), 50))

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert {kill.victim for kill in islice(order(1, tuple(VICTIMS)), 200)} == set(VICTIMS)


_MIDST = replace(
    _WHOLE, jobs=(*_WHOLE.jobs, JobFacts(4, "shop", "rolling_out", "", "c4", None, "")), begun=frozenset({4})
)


def test_a_server_that_lies_dead_in_the_midst_of_a_build_has_lost_nothing() -> None:
    assert complaints_at_rest(_MIDST) == ()
    moved = replace(_MIDST, apps=(replace(_SHOP, head="c4"),))
    assert complaints_at_rest(moved) == ()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"head": "c5"}, "the branch of shop is not at its live commit c3, and no build that rolls out has"),
        ({"releases": (1, 3)}, "shop has the releases [1, 3], not [1, 2]"),
    ],
)
def test_what_must_hold_at_any_moment_is_complained_of_at_rest(
    change: dict[str, object], complaint: str
) -> None:
    seen = replace(_MIDST, apps=(replace(_SHOP, **change),))  # type: ignore[arg-type]
    assert complaints_at_rest(seen)[0].startswith(complaint)


def test_an_app_of_which_nothing_runs_answers_nobody() -> None:
    silent = replace(_SHOP, processes={"web": 0}, running=(), answers=None, says=None)
    assert complaints(replace(_WHOLE, apps=(silent,))) == ()


def test_each_named_point_lies_in_one_of_the_stages_and_each_stage_has_points() -> None:
    found = stages_of_points()
    assert tuple(found) == POINTS
    assert set(found.values()) == set(STAGES)
    assert [kill.point for kill in each_point(1)] == list(POINTS)


@pytest.mark.parametrize(
    ("point", "stage"),
    [
        ("ledger.enqueue begins", "receiving"),
        ("ledger.claim done", "queued"),
        ("builder.build speaks", "building"),
        ("builder.build left", "publishing"),
        ("target.run_once release speaks", "releasing"),
        ("sources.move begins", "rolling out"),
        ("sources.move done", "recording"),
        ("ledger.go_live done", "ended"),
        ("target.put_back done", "rolling out"),
    ],
)
def test_a_kill_at_a_point_is_a_kill_at_its_stage(point: str, stage: str) -> None:
    assert stages_of_points()[point] == stage


def test_a_kill_counts_where_most_is_at_stake() -> None:
    assert most_advanced(frozenset({"queued", "recording", "building"})) == "recording"
    assert most_advanced(frozenset()) == "idle"


def test_kills_are_printed_by_victim_and_stage_and_add_up() -> None:
    kills = {("server", "building"): 2, ("registry", "publishing"): 1, ("server", "idle"): 1}
    lines = [line.split() for line in table(kills).splitlines()]
    assert lines[0][-2:] == ["idle", "all"]
    assert lines[1] == ["server", "·", "·", "2", "·", "·", "·", "·", "·", "1", "3"]
    assert lines[-1][-1] == "4"
    assert by(kills, 0) == {"server": 3, "registry": 1}
    assert by(kills, 1) == {"building": 2, "publishing": 1, "idle": 1}


def test_seconds_are_told_by_their_middle_and_their_worst() -> None:
    assert seconds([3.0, 1.0, 2.0]) == {"times": 3, "median": 2.0, "longest": 3.0}
    assert seconds([])["longest"] is None


def test_a_branch_is_found_in_its_own_file_and_among_packed_ones(tmp_path: Path) -> None:
    repository = tmp_path / "shop.git"
    (repository / "refs/heads").mkdir(parents=True)
    assert head(tmp_path, "shop") == ""
    (repository / "packed-refs").write_text(
        "# pack-refs with: peeled\nc1 refs/heads/main-2\nc2 refs/heads/main\n"
    )
    assert head(tmp_path, "shop") == "c2"
    (repository / "refs/heads/main").write_text("c3\n")
    assert head(tmp_path, "shop") == "c3"
