"""scripts/load: which scenarios run, in which order, and what is printed."""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from scripts.loading.connections import connections
from scripts.loading.figures import Outcome, table
from scripts.loading.followers import followers
from scripts.loading.ground import Ground
from scripts.loading.large import large_log, large_repository
from scripts.loading.many_apps import many_apps
from scripts.loading.race import race
from scripts.loading.rate import rate
from tests.e2e.world import Server, run, running

STACK = "bookworm"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_EXAMPLES = """\
examples:
  scripts/load                                       everything; about 40 minutes, and 6 GB of disk
  scripts/load connections many-apps                 two of them; about 3 minutes
  scripts/load rate --duration 30s                   the same pushes each second, for a shorter time
  scripts/load race --rounds 20 --json load.json     keep the figures
  scripts/load --expect                              exit with 1 where an expectation is missed

many-apps    50 pushes to 50 apps at once, half of them one user's: all queued within 5 s, built in turns
race         16 clients push different commits to one app, 200 rounds: exactly one winner each, and none lost
connections  200 SSH connections at once, all served within 10 s
rate         10 pushes a second for 10 minutes: the 95th percentile received and queued within 1 s
followers    200 followers of one build: each sees all of its log
log          a build that speaks 1 GB: at most 50 MB more memory of the server
repository   a source of 1 GB, pushed and cloned: the same

Accepted means queued for good: the job is in the ledger, and the client has been told which build it is. Builds are real, run
two at a time, and make releases of which no process runs; those of `rate` end where their source has been read. Clients and
server share the machine. A broken promise (a push that is lost, a second winner, a log with a gap) always exits with 1.
"""


def main() -> int:
    arguments = _arguments()
    scenarios = _scenarios(arguments)
    chosen = [name for name in scenarios if name in (arguments.scenarios or scenarios)]
    stack = next(one for one in json.loads(_required("GITRECEIVE_TEST_STACK")) if one["name"] == STACK)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="gitreceive-load-") as folder:
        server = Server(Path(folder, "server"), "docker", {"GITRECEIVE_POLICY_MAX_PUSH_BYTES": str(2 << 30)})
        images = ("--build-image", stack["build"], "--run-image", stack["run"])
        server.cli("stack", "create", STACK, *images).ok()
        with running(server):
            ground = Ground(server)
            for name in chosen:
                outcomes.append(_tried(name, partial(scenarios[name], ground)))
                say(table(outcomes[-1:]).replace("\n", "\n       "))
    print("\n" + table(outcomes), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(_as_json(outcomes), indent=2) + "\n")
    return _verdict(outcomes, expect=arguments.expect)


def _scenarios(arguments: argparse.Namespace) -> dict[str, Callable[[Ground], Outcome]]:
    return {
        "many-apps": many_apps,
        "race": lambda ground: race(ground, rounds=arguments.rounds, say=say),
        "connections": connections,
        "rate": lambda ground: rate(ground, arguments.duration, say=say),
        "followers": followers,
        "log": large_log,
        "repository": large_repository,
    }


def _tried(name: str, scenario: Callable[[], Outcome]) -> Outcome:
    """A scenario that cannot be told to its end is a fault, and the others are tried all the same."""
    say(f"{name} …")
    before = os.getloadavg()[0]
    try:
        found = scenario()
    except (AssertionError, RuntimeError, TimeoutError, ValueError) as error:
        found = Outcome(name, faults=[f"not told to its end: {error!r}"[:2000]])
    found.load = (before, os.getloadavg()[0])
    return found


def _verdict(outcomes: Sequence[Outcome], *, expect: bool) -> int:
    for outcome in outcomes:
        for text in outcome.missed:
            print(f" !     {text}", file=sys.stderr)
        if outcome.faults:
            print(f" !     {outcome.scenario}: {len(outcome.faults)} broken promises", file=sys.stderr)
    broken = any(outcome.faults for outcome in outcomes)
    return 1 if broken or (expect and any(outcome.missed for outcome in outcomes)) else 0


def _as_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    docker = run(["docker", "version", "--format", "{{.Server.Version}}"]).ok().out.strip()
    git = run(["git", "version"]).ok().out.strip()
    ground = {
        "cpus": os.cpu_count(),
        "docker": docker,
        "git": git,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return {"ground": ground, "scenarios": [outcome.as_json() for outcome in outcomes]}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/load",
        description="Whether a server holds out many at once, and what is large.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = list(_scenarios(argparse.Namespace()))
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"some of {', '.join(names)}; default: all"
    )
    parser.add_argument(
        "--duration", type=_seconds, default=600.0, metavar="TIME", help="of rate: 90s, 10m; default: 10m"
    )
    parser.add_argument("--rounds", type=_positive, default=200, metavar="N", help="of race; default: 200")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--expect", action="store_true", help="exit with 1 where an expectation is missed")
    arguments = parser.parse_args()
    for name in arguments.scenarios:
        if name not in names:
            parser.error(f"there is no scenario {name!r}; there are {', '.join(names)}")
    return arguments


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smh])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 10m or 1h")
    return int(found[1]) * _UNITS[found[2]]


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds: 1 or more")
    return int(text)


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        sys.exit(f" !     {name} is not set: run scripts/load, which sets it")
    return value


def say(text: str) -> None:
    print(f"       {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
