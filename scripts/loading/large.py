"""What is large: a build that speaks a gigabyte, and a source of one. The server's memory must not grow with either."""

from scripts.benchmark.sizes import Size, load
from scripts.loading.figures import Outcome
from scripts.loading.ground import BUILT, Ground, push, watched
from tests.e2e.world import Clone, run

_MORE_MB = 50.0
_GIGABYTE = 10**9
_LINE = "all work and no play makes a dull log, and this line is a hundred bytes long, its end being here\n"
_PROJECT = """\
[_]
schema-version = "0.2"

[[io.buildpacks.group]]
id = "load/talker"

[io.buildpacks.group.script]
api = "0.10"
inline = "yes '{line}' | head -c {size}"
"""


def large_log(ground: Ground, size: int = _GIGABYTE) -> Outcome:
    """``size`` in bytes. The client that pushes reads it too."""
    found = Outcome("large log")
    (who,) = ground.people(1)
    ground.apps([(who, "talker")])
    sources = ground.sources("talker")
    files = {**BUILT, "project.toml": _PROJECT.format(line=_LINE.strip(), size=1000)}
    (first,) = sources.commits([files])
    (second,) = sources.commits([{"project.toml": _PROJECT.format(line=_LINE.strip(), size=size)}], first)
    try:
        found.expect(push(who, sources, first, "talker").code == 0, "the push before did not go live")
        with watched(ground.pid) as memory:
            pushed = push(who, sources, second, "talker")
        found.expect(pushed.code == 0, f"the push did not go live: {pushed.said[-300:]}")
        found.expect("left out]" in pushed.said or size < 10**7, "the log does not say what was left out")
        _measure(found, memory, pushed.ended)
        found.add("of log a second", size / 1e6 / pushed.ended, "MB")
    finally:
        ground.destroy(["talker"])
    return found


def large_repository(ground: Ground, megabytes: int = 1000) -> Outcome:
    """Files of 10 MB that no compression makes smaller. The server's ``policy.max_push_bytes`` has to let them in."""
    found = Outcome("large repository")
    (who,) = ground.people(1)
    clone = Clone(who, "hoard", ground.server.folder / "clone-hoard")
    ground.apps([(who, clone.app)])
    try:
        clone.folder.mkdir(parents=True)
        clone.git("init", "--quiet", "--initial-branch", "main").ok()
        clone.git("config", "core.compression", "0").ok()
        clone.git("remote", "add", "deploy", clone.url).ok()
        clone.commit("Begin", BUILT)
        found.expect(clone.push().code == 0, "the push before did not go live")
        load(clone.folder, Size(megabytes, max(1, megabytes // 10)))
        clone.commit("Add what is large")
        with watched(ground.pid) as memory:
            said = clone.git("push", "deploy", "main", timeout=1800)
        found.expect(said.code == 0, f"the push did not go live: {said.all[-300:]}")
        _measure(found, memory, said.seconds)
        with watched(ground.pid) as memory:
            fetched = run(
                ["git", "clone", "--quiet", "--bare", clone.url, str(ground.server.folder / "fetched.git")],
                env=who.env,
                timeout=1800,
            )
        found.expect(fetched.code == 0, f"it could not be cloned: {fetched.all[-300:]}")
        found.add("cloned again", fetched.seconds, "s")
        found.add(
            "more memory of the server while it is cloned",
            memory["server"] - memory["before"],
            "MB",
            _MORE_MB,
        )
    finally:
        ground.destroy([clone.app])
    return found


def _measure(found: Outcome, memory: dict[str, float], seconds: float) -> None:
    found.add("live after", seconds, "s")
    found.add("more memory of the server", memory["server"] - memory["before"], "MB", _MORE_MB)
    found.add("memory of the server before", memory["before"], "MB")
    found.add("memory of the programs that it runs, at most", memory["programs"], "MB")
