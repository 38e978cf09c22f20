"""The pure parts of scripts/load, and its short form: what must hold however busy the machine is."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.loading.figures import Figure, Outcome, percentile, table, unfairness
from scripts.loading.ground import Pushed, Sources


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.95), percentile(values, 0.5), percentile([3.0], 0.95)) == (95.0, 50.0, 3.0)


def test_a_figure_that_is_no_number_misses_what_is_expected_of_it() -> None:
    assert Figure("accepted", percentile([], 0.95), "s", 5.0).missed
    assert not Figure("accepted", 5.0, "s", 5.0).missed
    assert not Figure("live", 500.0, "s").missed


def test_a_queue_in_which_users_take_turns_is_fair() -> None:
    assert unfairness(["ann", "bob", "ann", "bob", "ann", "ann"], 0) == 0
    assert unfairness(["ann", "ann", "bob", "bob"], 0) == 1


def test_a_queue_that_serves_one_user_first_is_unfair_by_their_turns() -> None:
    assert unfairness(["ann", "ann", "ann", "ann", "bob"], 0) == 3


def test_what_was_begun_before_all_were_there_is_not_unfair() -> None:
    assert unfairness(["ann", "ann", "ann", "bob", "ann"], 3) == 0


def test_a_broken_promise_and_a_missed_figure_are_marked() -> None:
    found = Outcome("race", load=(1.0, 2.0))
    found.add("one round", 3.5, "s", 1.0)
    found.add("rounds", 200, "rounds")
    for number in range(5):
        found.expect(number == 0, f"round {number} has 2 winners")
    shown = table([found])
    assert "  ! one round: 3.50 s  (expected at most 1 s)" in shown
    assert "    rounds: 200 rounds" in shown
    assert "  ! round 1 has 2 winners" in shown
    assert "and 1 faults more" in shown
    assert found.missed == ["race: one round: 3.50 s  (expected at most 1 s)"]
    assert found.as_json()["faults"] == [f"round {number} has 2 winners" for number in range(1, 5)]


def test_why_a_push_was_refused_is_git_s_own_line() -> None:
    said = "remote: -----> Build 3\n ! [remote rejected] a1 -> main (main of shop has moved)\nerror: failed\n"
    refused = Pushed("ann", "shop", "a1", 1, 3, 0.2, 0.4, said)
    assert refused.reason == "! [remote rejected] a1 -> main (main of shop has moved)"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["flood"], "there is no scenario 'flood'"),
        (["rate", "--duration", "soon"], "'soon' is no time: write 90s, 10m or 1h"),
        (["race", "--rounds", "0"], "'0' is not a number of rounds"),
    ],
)
def test_what_is_not_understood_is_told(words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.loading", *words],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path / "sources.git")


def test_commits_are_made_side_by_side_on_one_parent(sources: Sources) -> None:
    (base,) = sources.commits([{"app.py": "print()\n"}])
    one, other = sources.commits([{"name": "one"}, {"name": "ötzi"}], base)
    assert one != other
    for commit, text in ((one, "one"), (other, "ötzi")):
        assert sources.git("rev-parse", f"{commit}^").out.strip() == base
        assert sources.git("show", f"{commit}:name").out == text
        assert sources.git("show", f"{commit}:app.py").out == "print()\n"
