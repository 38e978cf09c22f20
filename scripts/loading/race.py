"""Many clients push different commits to one app, round after round: exactly one wins each, and nobody is told anything else."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from scripts.loading.figures import Outcome
from scripts.loading.ground import BUILT, Ground, Pushed, push

_APP = "race"


def race(
    ground: Ground, clients: int = 16, rounds: int = 200, say: Callable[[str], None] = lambda _text: None
) -> Outcome:
    """All start from the commit that won last. A round's winner is live and the branch is there; the others are refused with a reason."""
    found = Outcome("race")
    people = ground.people(clients)
    ground.apps([(people[0], _APP)])
    sources = ground.sources("race")
    (base,) = sources.commits([{**BUILT, "round": "none"}])
    found.expect(push(people[0], sources, base, _APP).code == 0, "the first push of all did not go live")
    won, everybody = [base], []
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        for number in range(rounds):
            commits = sources.commits([{"round": f"{number} {who.name}"} for who in people], won[-1])
            pushes = list(pool.map(lambda who, commit: push(who, sources, commit, _APP), people, commits))
            everybody += pushes
            winners = [one.commit for one in pushes if one.code == 0]
            _judge_round(found, number, pushes, winners)
            if len(winners) != 1:
                break
            won.append(winners[0])
            if number % 10 == 9:
                say(f"race: {number + 1} rounds in {time.monotonic() - began:.0f} s")
    found.add("rounds with exactly one winner", len(won) - 1, "rounds")
    found.add("one round, on average", (time.monotonic() - began) / max(1, len(won) - 1), "s")
    try:
        _judge_ledger(found, ground, won, everybody)
    finally:
        ground.destroy([_APP])
    return found


def _judge_round(found: Outcome, number: int, pushes: list[Pushed], winners: list[str]) -> None:
    found.expect(len(winners) == 1, f"round {number} has {len(winners)} winners")
    for one in pushes:
        found.expect(
            one.code == 0 or "(" in one.reason,
            f"round {number}: {one.user} was refused without a reason: {one.said}",
        )


def _judge_ledger(found: Outcome, ground: Ground, won: list[str], pushes: list[Pushed]) -> None:
    """What the server has recorded is what the clients were told."""
    cli = ground.server.cli
    jobs = json.loads(cli("builds", "list", "--app", _APP, "-n", "1000000", "--json").ok().out)
    by_number = {job["build"]: job for job in jobs}
    for one in pushes:
        job = by_number.get(one.build) if one.build else None
        if one.build and job is None:
            found.faults.append(f"build {one.build} is lost")
        elif job and (job["state"] == "live") != (one.code == 0):
            found.faults.append(f"build {one.build} is {job['state']}, and {one.user} was told {one.code}")
    live = [job["commit"] for job in sorted(jobs, key=lambda job: job["build"]) if job["state"] == "live"]
    found.expect(live == won, "the builds that are live are not the winners, in their order")
    releases = json.loads(cli("releases", "list", "--app", _APP, "-n", "1000000", "--json").ok().out)
    numbers = sorted(release["release"] for release in releases)
    found.expect(numbers == list(range(1, len(won) + 1)), "the releases have a gap, or a number twice")
    where = _head(ground)
    found.expect(where == won[-1], f"the branch is at {where}, and {won[-1]} won last")
    found.add("pushes that got as far as the queue", len(jobs) - 1, "pushes")


def _head(ground: Ground) -> str:
    """Where the branch is, as everybody sees it."""
    (who,) = ground.people(1)
    said = ground.sources("race").git("ls-remote", ground.url(_APP), "refs/heads/main", env=who.env)
    return said.ok().out.split("\t")[0]
