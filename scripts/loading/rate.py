"""Pushes that keep coming: how long each takes to be received and queued."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from scripts.benchmark.watch import forget_peak, peak
from scripts.loading.figures import Outcome, percentile
from scripts.loading.ground import REFUSED, Ground, Pushed, Sources, push
from tests.e2e.world import Developer

_P95 = 1.0


def rate(
    ground: Ground,
    seconds: float = 600.0,
    a_second: float = 10.0,
    apps: int = 20,
    say: Callable[[str], None] = lambda _text: None,
) -> Outcome:
    """Each push is begun when its time has come, whether or not those before have ended, and is measured from then on. What is measured is receiving, so the builds
    end where they have read the source: its app.json is no JSON.
    """
    found = Outcome("rate")
    names = [f"rate-{number}" for number in range(apps)]
    people = ground.people(apps)
    ground.apps(zip(people, names, strict=True))
    sources = ground.sources("rate")
    number = max(1, int(seconds * a_second))
    commits = sources.commits([{**REFUSED, "number": str(one)} for one in range(number)])
    forget_peak(ground.pid)
    try:
        with ThreadPoolExecutor(256) as pool:
            running: list[Future[Pushed]] = []
            began = time.monotonic()
            for one, commit in enumerate(commits):
                due = began + one / a_second
                time.sleep(max(0.0, due - time.monotonic()))
                who, app = people[one % apps], names[one % apps]
                running.append(pool.submit(_push, due, who, sources, commit, app))
                if one % 600 == 599:
                    say(f"rate: {one + 1} pushes begun in {time.monotonic() - began:.0f} s")
            pushes = [future.result() for future in running]
            took = time.monotonic() - began
        _judge(found, pushes, took)
        found.add("server's memory at most", peak(ground.pid), "MB")
    finally:
        ground.destroy(names)
    return found


def _push(due: float, who: Developer, sources: Sources, commit: str, app: str) -> Pushed:
    """One that had to wait for a client has waited."""
    late = time.monotonic() - due
    pushed = push(who, sources, commit, app)
    return pushed if pushed.accepted is None else replace(pushed, accepted=pushed.accepted + late)


def _judge(found: Outcome, pushes: list[Pushed], took: float) -> None:
    accepted = [one.accepted for one in pushes if one.accepted is not None]
    lost = [one for one in pushes if one.accepted is None]
    found.expect(
        not lost, f"{len(lost)} pushes were not queued, such as: {lost[0].said[-300:] if lost else ''}"
    )
    odd = [one for one in pushes if one.accepted is not None and "app.json" not in one.reason]
    found.expect(
        not odd, f"{len(odd)} ended otherwise than they should, such as: {odd[0].said[-300:] if odd else ''}"
    )
    found.expect(
        len({one.build for one in pushes if one.build}) == len(accepted), "two pushes have one build"
    )
    found.add("received and queued, 95th percentile", percentile(accepted, 0.95), "s", _P95)
    found.add("received and queued, median", percentile(accepted, 0.5), "s")
    found.add("received and queued, the slowest", max(accepted, default=float("nan")), "s")
    found.add("pushes a second", len(pushes) / took, "pushes/s")
    found.add("pushes", len(pushes), "pushes")
