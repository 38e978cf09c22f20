"""scripts/chaos: kill, look, and print what was lost."""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.voice import Voice
from scripts.survival.ground import Ground, ground
from scripts.survival.invariants import complaints
from scripts.survival.killing import VICTIMS, Killer, order
from scripts.survival.looking import look, states
from scripts.survival.pushing import Client, Told
from tests.e2e.world import Server, wait_until

STACK = "bookworm"
_REST_SECONDS = 180.0  # in which all that is under way must end by itself
_SETTLE_SECONDS = 60.0  # in which what was replaced must be gone
_EXAMPLES = """\
examples:
  scripts/chaos --rounds 50                       50 kills, and a look at what is left after each 25
  scripts/chaos --rounds 500 --seed 7 --json chaos.json
  scripts/chaos --rounds 20 --kill server,point   the server alone

server    SIGKILL at any moment, then a new one
point     a server that kills itself at a named point in the life of a job (tests/crash_points.py); the one before it is told to end,
          and hands its jobs over
build     SIGKILL of a build container
docker    SIGKILL of dockerd, then a new one
registry  SIGKILL of the registry, then a new one

Everything that is killed is started by this script, in folders of its own: it touches no other engine, registry or cluster of this host. The
order of kills follows from the seed; what they hit, from the moment. The exit code is 1 where something was lost.
"""


class Chaos:
    """A server, its clients, and who kills. What was found wrong is kept in ``found``."""

    def __init__(self, server: Server, place: Ground, seed: int, apps: int) -> None:
        self.killer = Killer(server, place)
        self.told = Told()
        self.found: list[str] = []
        self._server = server
        owner = server.developer("dora")
        names = [f"shop-{number}" for number in range(1, apps + 1)]
        self._clients = [
            Client(owner, name, random.Random(f"{seed} {name}"), self.told)  # noqa: S311
            for name in names
        ]

    def run(self, rounds: int, seed: int, victims: tuple[str, ...], every: int) -> None:
        for client in self._clients:
            client.start()
        for number, kill in enumerate(order(seed, victims), start=1):
            if number > rounds or self.found:
                break
            say(f"{number}: {kill.victim}{f' at {kill.point}' if kill.victim == 'point' else ''}")
            self.killer.carry_out(kill)
            if number % every == 0 and number < rounds:
                say(f"{number} rounds, {self.killer.number} kills: looking at what is left")
                self._look()
                for client in self._clients:
                    client.go_on()
        self._look()
        for client in self._clients:
            client.stop()

    def _look(self) -> None:
        """Nothing is under way; then one push more for each app, so that all of it is known to work still."""
        for client in self._clients:
            client.rest(_REST_SECONDS)
        wait_until(lambda: not states(self._server), "all builds end", _REST_SECONDS)
        self._server.cli("gc").ok()  # refs of builds are collected with what is no longer kept
        self._complain("after the kills")
        if not self.found:
            with ThreadPoolExecutor(len(self._clients)) as pool:
                for settled in [pool.submit(client.settle) for client in self._clients]:
                    settled.result()
            self._complain("after another push to each app")

    def _complain(self, when: str) -> None:
        """What was replaced may take a moment to go."""
        until = time.monotonic() + _SETTLE_SECONDS
        while True:
            accepted = {app: frozenset(commits) for app, commits in self.told.accepted.items()}
            seen = look(self._server, accepted, frozenset(self.told.begun))
            found = complaints(seen)
            if not found or time.monotonic() > until:
                break
            time.sleep(0.5)
        self.found += [f"{when}: {text}" for text in (*found, *self.killer.wrong)]

    def as_json(self) -> dict[str, Any]:
        resumed = sorted(self.killer.resumed)
        return {
            "kills": dict(self.killer.kills),
            "stages": dict(self.killer.stages),
            "pushes": dict(self.told.ends.most_common()),
            "builds told of": len(self.told.begun),
            "seconds from listening to a job claimed": {
                "times": len(resumed),
                "median": round(resumed[len(resumed) // 2], 2) if resumed else None,
                "longest": round(resumed[-1], 2) if resumed else None,
            },
            "seconds from SIGTERM to the end": {
                "times": len(self.killer.ended),
                "longest": round(max(self.killer.ended, default=0.0), 2),
            },
            "lost": self.found,
        }


@contextmanager
def chaos(folder: Path, place: Ground, stack: dict[str, str], seed: int, apps: int) -> Iterator[Chaos]:
    """A server on that ground, which dies where it is told to, with ``apps`` clients that do not push yet."""
    settings = {**place.env, "GITRECEIVE_BUILD_CONCURRENCY": str(max(2, apps // 2))}
    server = Server(folder, "docker", settings, program=("-m", "tests.crash_points"))
    _take_stack(server, place, stack)
    server.start()
    try:
        yield Chaos(server, place, seed, apps)
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()


def _take_stack(server: Server, place: Ground, stack: dict[str, str]) -> None:
    """The base images, into our own registry: as they are in the one that has them."""
    log, cancel = Voice(lambda _: None), Cancellation()
    with closing(OciRegistry(place.registry_address, insecure=True, environment={})) as registry:
        build, run = (
            str(registry.copy(stack[kind], f"stacks/{STACK}-{kind}", log, cancel))
            for kind in ("build", "run")
        )
    server.cli("stack", "create", STACK, "--build-image", build, "--run-image", run).ok()


def main() -> int:
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="gr-", dir=arguments.folder))
    try:
        with (
            ground(folder, own_docker="docker" in arguments.kill) as place,
            chaos(folder / "server", place, _stack(arguments.stack), arguments.seed, arguments.apps) as run,
        ):
            run.run(arguments.rounds, arguments.seed, arguments.kill, arguments.every)
            facts = {"seed": arguments.seed, "rounds": arguments.rounds, **run.as_json()}
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(facts, indent=2), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    for text in facts["lost"]:
        print(f" !     {text}", file=sys.stderr)
    return 1 if facts["lost"] else 0


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
        "--stack", default="", help="what `stack list --json` printed; default: the environment's"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp"), help="for all that is made; a short path"
    )
    parser.add_argument("--keep", action="store_true", help="leave the folder as it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what is printed there, too")
    return parser.parse_args()


def _victims(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := sorted(set(chosen) - set(VICTIMS)):
        raise argparse.ArgumentTypeError(f"nobody is called {unknown[0]!r}; there are {', '.join(VICTIMS)}")
    return chosen


def _stack(text: str) -> dict[str, str]:
    import os

    found: list[dict[str, str]] = json.loads(text or os.environ["GITRECEIVE_TEST_STACK"])
    return next(entry for entry in found if entry["name"] == STACK)


def say(text: str) -> None:
    print(f"       {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
