"""Many SSH connections at the same moment: each is served."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from scripts.loading.figures import Outcome, percentile
from scripts.loading.ground import BUILT, Ground, push
from tests.e2e.world import Said, run

_SECONDS = 10.0


def connections(ground: Ground, number: int = 200) -> Outcome:
    """Once for the greeting alone, which is SSH without more; once for git, which reads the app's branches."""
    found = Outcome("connections")
    (who,) = ground.people(1)
    ground.apps([(who, "visited")])
    try:
        sources = ground.sources("visited")
        (commit,) = sources.commits([BUILT])
        found.expect(push(who, sources, commit, "visited").code == 0, "the push before did not go live")
        _at_once(found, "greeting", number, who.ssh, f"Hello {who.name}")
        url = ground.url("visited")
        listing = ["git", "ls-remote", url, "refs/heads/main"]
        _at_once(found, "git ls-remote", number, lambda: run(listing, env=who.env), commit)
    finally:
        ground.destroy(["visited"])
    return found


def _at_once(found: Outcome, what: str, number: int, ask: Callable[[], Said], answer: str) -> None:
    with ThreadPoolExecutor(number) as pool:
        answers = list(pool.map(lambda _: ask(), range(number)))
    bad = [said for said in answers if said.code != 0 or answer not in said.out]
    found.expect(
        not bad, f"{what}: {len(bad)} of {number} were not served, such as: {bad[0].all if bad else ''}"
    )
    seconds = [said.seconds for said in answers]
    found.add(f"{what}, {number} at once, the last of all", max(seconds), "s", _SECONDS)
    found.add(f"{what}, median", percentile(seconds, 0.5), "s")
