"""scripts/chaos: kill, look, and print what was lost."""

import argparse
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from scripts.survival.chaos import STACK, Chaos, chaos
from scripts.survival.ground import ground
from scripts.survival.killing import RESUMES_WITHIN, VICTIMS, Kill, each_point, order
from scripts.survival.telling import summary, table

_EXAMPLES = """\
examples:
  scripts/chaos --rounds 50                       50 kills, and a look at what is left after each 50
  scripts/chaos --rounds 500 --seed 7 --json chaos.json     about 40 minutes
  scripts/chaos --rounds 20 --kill server,point   the server alone
  scripts/chaos --points --kill point             at each point once
  scripts/chaos --rounds 50 --target kubernetes   the apps run in the cluster, in namespaces of their own

server    SIGKILL while a job is at a stage, then a new one at once, while the same pushes are under way
point     a server that kills itself at a named point in the life of a job (tests/crash_points.py); where the one before it was not killed,
          it is told to end, and hands its jobs over
build     SIGKILL of a build container
docker    SIGKILL of dockerd, then a new one
registry  SIGKILL of the registry, then a new one
cluster   with --target kubernetes: SIGKILL of an API server, a second one of the devcluster that only the server asks, then a new one

Each kill comes at one of eight stages: receiving, queued, building, publishing, releasing, rolling out, recording (it has come about, and
the ledger does not say so yet), ended (its commit is still held). Whenever a server lies dead, its ledger and its repositories are looked
at as they are; after each --every kills, and at the end, everything is. Half of the apps have a web process, a release command and a script
for the first release; the others run nothing.

Everything that is killed is started by this script, in folders of its own: it ends no other engine, registry or API server of this host. The
order of kills follows from the seed; what they hit, from the moment. Ctrl-C ends the kills, and leads to the last look. The exit code is 1 where something was lost, and with --expect also where
jobs went on later than they should.
"""


_OF_DOCKER = tuple(victim for victim in VICTIMS if victim != "cluster")


def main() -> int:
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="gr-", dir=arguments.folder))
    before = os.getloadavg()[0]
    try:
        with (
            ground(folder, arguments.kill, arguments.target) as place,
            chaos(
                folder / "server", place, _stack(), arguments.seed, arguments.apps, arguments.target
            ) as run,
        ):
            signal.signal(signal.SIGINT, lambda *_: setattr(run, "stopped", True))
            most = math.inf if arguments.points else arguments.rounds
            run.run(_kills(arguments), arguments.every, most)
            facts = {"seed": arguments.seed, **run.as_json(), "load": (before, os.getloadavg()[0])}
            missed = _missed(run)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(table(run.killer.kills), *summary(facts), sep="\n", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({**facts, "missed": missed}, indent=2) + "\n")
    for text in (*facts["lost"], *missed):
        print(f" !     {text}", file=sys.stderr)
    print("nothing was lost" if not facts["lost"] else f"{len(facts['lost'])} complaints", flush=True)
    return 1 if facts["lost"] or (arguments.expect and missed) else 0


def _missed(run: Chaos) -> list[str]:
    """What was expected of a machine that has nothing else to do."""
    slow = [value for value in run.killer.resumed if value > RESUMES_WITHIN]
    if not slow:
        return []
    return [
        f"{len(slow)} times a job went on more than {RESUMES_WITHIN:.0f} s after its server's start, at worst {max(slow):.1f} s"
    ]


def _kills(arguments: argparse.Namespace) -> Iterator[Kill]:
    kills = each_point(arguments.seed) if arguments.points else order(arguments.seed, arguments.kill)
    end = time.monotonic() + arguments.seconds
    return takewhile(lambda _: time.monotonic() < end, kills)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Push to several apps while what carries them is killed, and see that nothing is lost.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=50, metavar="N", help="kills; default: 50")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the order of kills; default: 1")
    parser.add_argument("--apps", type=int, default=6, metavar="N", help="each with a client; default: 6")
    parser.add_argument(
        "--every", type=int, default=50, metavar="N", help="kills between two looks at everything"
    )
    parser.add_argument(
        "--kill", type=_victims, metavar="WHO,…", help=f"of {', '.join(VICTIMS)}; default: all that there are"
    )
    parser.add_argument(
        "--target",
        choices=("docker", "kubernetes"),
        default="docker",
        help="what runs the apps; default: docker",
    )
    parser.add_argument(
        "--points", action="store_true", help="a server that dies at each point there is, in their order"
    )
    parser.add_argument("--folder", type=Path, help="for all that is made; a short path")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, metavar="N", help="no kill after so long, whatever is left"
    )
    parser.add_argument("--keep", action="store_true", help="leave the folder as it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what is printed there, too")
    parser.add_argument("--expect", action="store_true", help="exit with 1 where an expectation is missed")
    arguments = parser.parse_args()
    arguments.kill = arguments.kill or tuple(VICTIMS if arguments.target == "kubernetes" else _OF_DOCKER)
    if arguments.target == "docker" and "cluster" in arguments.kill:
        parser.error("there is no cluster: give --target kubernetes, too")
    return arguments


def _victims(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := sorted(set(chosen) - set(VICTIMS)):
        raise argparse.ArgumentTypeError(f"nobody is called {unknown[0]!r}; there are {', '.join(VICTIMS)}")
    return chosen


def _stack() -> dict[str, str]:
    text = os.environ.get("GITRECEIVE_TEST_STACK")
    if not text:
        sys.exit(" !     GITRECEIVE_TEST_STACK is not set: run scripts/chaos, which sets it")
    found: list[dict[str, str]] = json.loads(text)
    return next(entry for entry in found if entry["name"] == STACK)


if __name__ == "__main__":
    sys.exit(main())
