"""scripts/chaos: kill, look, and print what was lost."""

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import islice, takewhile
from pathlib import Path

from scripts.survival.chaos import STACK, chaos
from scripts.survival.ground import ground
from scripts.survival.killing import RESUMES_WITHIN, VICTIMS, Kill, each_point, order

_EXAMPLES = """\
examples:
  scripts/chaos --rounds 50                       50 kills, and a look at what is left after each 25
  scripts/chaos --rounds 500 --seed 7 --json chaos.json
  scripts/chaos --rounds 20 --kill server,point   the server alone
  scripts/chaos --points --kill point             at each point once

server    SIGKILL at any moment, then a new one
point     a server that kills itself at a named point in the life of a job (tests/crash_points.py); the one before it is told to end,
          and hands its jobs over
build     SIGKILL of a build container
docker    SIGKILL of dockerd, then a new one
registry  SIGKILL of the registry, then a new one

Everything that is killed is started by this script, in folders of its own: it touches no other engine, registry or cluster of this host. The
order of kills follows from the seed; what they hit, from the moment. The exit code is 1 where something was lost.
"""


def main() -> int:
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="gr-", dir=arguments.folder))
    try:
        with (
            ground(folder, arguments.kill) as place,
            chaos(folder / "server", place, _stack(), arguments.seed, arguments.apps) as run,
        ):
            run.run(_kills(arguments), arguments.every)
            slow = max(run.killer.resumed, default=0.0)
            if slow > RESUMES_WITHIN:  # a promise of a machine that has nothing else to do
                run.found.append(f"{slow:.1f} s passed before a job that was left went on")
            facts = {"seed": arguments.seed, **run.as_json()}
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(facts, indent=2), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    for text in facts["lost"]:
        print(f" !     {text}", file=sys.stderr)
    return 1 if facts["lost"] else 0


def _kills(arguments: argparse.Namespace) -> Iterable[Kill]:
    if arguments.points:
        kills = each_point(arguments.seed)
    else:
        kills = islice(order(arguments.seed, arguments.kill), arguments.rounds)
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
    parser.add_argument("--apps", type=int, default=4, metavar="N", help="each with a client; default: 4")
    parser.add_argument("--every", type=int, default=25, metavar="N", help="rounds between two looks")
    parser.add_argument(
        "--kill", type=_victims, default=tuple(VICTIMS), metavar="WHO,…", help=f"of {', '.join(VICTIMS)}"
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
    return parser.parse_args()


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
