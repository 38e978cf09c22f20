"""Many pushes to many apps at the same moment: all are accepted soon, built in turns, and none is lost."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from scripts.loading.figures import Outcome, percentile, unfairness
from scripts.loading.ground import BUILT, Ground, Pushed, push

_ACCEPTED_SECONDS = 5.0
_BUILDERS = 2  # what is begun before all are there


def many_apps(ground: Ground, apps: int = 50) -> Outcome:
    """Half of the apps are one user's, who pushes them all; the others have two each."""
    found = Outcome("many apps")
    greedy, *modest = ground.people(1 + (apps - apps // 2 + 1) // 2)
    people = [greedy] * (apps // 2) + [modest[number // 2] for number in range(apps - apps // 2)]
    names = [f"many-{number}" for number in range(apps)]
    ground.apps(zip(people, names, strict=True))
    sources = ground.sources("many")
    commits = sources.commits([{**BUILT, "name": name} for name in names])
    with ThreadPoolExecutor(apps) as pool:
        pushes = list(
            pool.map(lambda who, commit, app: push(who, sources, commit, app), people, commits, names)
        )
    try:
        _judge(found, ground, pushes)
    finally:
        ground.destroy(names)
    return found


def _judge(found: Outcome, ground: Ground, pushes: Sequence[Pushed]) -> None:
    accepted = [one.accepted for one in pushes if one.accepted is not None]
    found.expect(len(accepted) == len(pushes), f"{len(pushes) - len(accepted)} were not accepted")
    for one in pushes:
        found.expect(one.code == 0, f"the push to {one.app} did not go live: {one.said[-300:]}")
    found.add("accepted, the last of all", max(accepted, default=float("nan")), "s", _ACCEPTED_SECONDS)
    found.add("accepted, median", percentile(accepted, 0.5), "s")
    found.add("live, the last of all", max(one.ended for one in pushes), "s")
    jobs = {build["build"]: build for app in pushes for build in _builds(ground, app.app)}
    begun = sorted((job for job in jobs.values() if job["started_at"]), key=lambda job: job["started_at"])
    last = max(jobs.values(), key=lambda job: job["build"])["created_at"] if jobs else ""
    before_all = sum(job["started_at"] < last for job in begun)
    ahead = unfairness([job["user"] for job in begun], max(_BUILDERS, before_all))
    found.add("turns that somebody was ahead of one who waited", ahead, "turns", 1 + _BUILDERS)


def _builds(ground: Ground, app: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = ground.server.cli("builds", "list", "--app", app, "--json").ok().json()
    return found
