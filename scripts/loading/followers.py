"""Many followers of one build: each sees all of its log, soon after it was written."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from scripts.loading.figures import Outcome, percentile
from scripts.loading.ground import Ground, push, watched
from tests.e2e.world import Developer, wait_until

_APP = "followed"
_LAG_SECONDS = 5.0
_EACH_MB = 20.0
_LINE = "the time is "
_PROJECT = """\
[_]
schema-version = "0.2"

[[io.buildpacks.group]]
id = "load/clock"

[io.buildpacks.group.script]
api = "0.10"
shell = "/usr/bin/python3"
inline = '''
import time
for number in range({lines}):
    print("the time is", time.time(), flush=True)
    time.sleep({pause})
'''
"""
_PAUSE = 0.1


@dataclass(frozen=True)
class _Followed:
    code: int
    text: str
    lags: list[float]


def followers(ground: Ground, number: int = 200, lines: int = 600) -> Outcome:
    """``lines`` is a tenth of a second each: all have to be there before the build ends, so that they follow and do not replay."""
    found = Outcome("followers")
    (who,) = ground.people(1)
    ground.apps([(who, _APP)])
    sources = ground.sources("followed")
    script = _PROJECT.format(lines=lines, pause=_PAUSE)
    files = {"project.toml": script, "app.json": '{"formation": {"web": {"quantity": 0}}}\n'}
    (commit,) = sources.commits([{**files, "Procfile": "web: sleep 1000\n"}])
    try:
        with watched(ground.pid) as memory, ThreadPoolExecutor(number + 1) as pool:
            pushing = pool.submit(push, who, sources, commit, _APP)
            wait_until(lambda: _LINE in who.ssh("builds", "log", "--app", _APP).out, "the build speaks")
            watching = list(pool.map(lambda _: _follow(who), range(number)))
            pushed = pushing.result()
        found.expect(pushed.code == 0, f"the push did not go live: {pushed.said[-300:]}")
        whole = ground.server.cli("builds", "log", "--app", _APP).ok().out
        bad = [one for one in watching if one.code != 0 or one.text != whole]
        found.expect(
            not bad,
            f"{len(bad)} of {number} did not see all of it, such as: {bad[0].text[-300:] if bad else ''}",
        )
        found.expect(whole.count(_LINE) == lines, "the log itself is not whole")
        _measure(found, [one.lags for one in watching], memory, number)
    finally:
        ground.destroy([_APP])
    return found


def _measure(found: Outcome, lags: list[list[float]], memory: dict[str, float], number: int) -> None:
    """The last quarter of the lines is seen by followers that have long caught up."""
    late = [lag for one in lags for lag in one[-max(1, len(one) // 4) :]]
    found.add(
        "a line, from being written to being read, 95th percentile", percentile(late, 0.95), "s", _LAG_SECONDS
    )
    found.add("a line, median", percentile(late, 0.5), "s")
    found.add("server's memory at most", memory["server"], "MB")
    programs = memory["programs"] / number
    found.add("memory of programs for each follower", programs, "MB", _EACH_MB)


def _follow(who: Developer) -> _Followed:
    words = ["-p", str(who.server.ssh_port), "git@127.0.0.1", "builds", "attach", "--app", _APP]
    lines, lags = [], []
    with subprocess.Popen(
        [*who.ssh_command, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if _LINE in line:
                lags.append(time.time() - float(line.rpartition(_LINE)[2]))
    return _Followed(process.returncode, "".join(lines), lags)
