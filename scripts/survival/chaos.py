"""A server on its ground, its clients, and who kills; what was lost is what the looks in between and at the end complain of."""

import math
import random
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.voice import Voice
from scripts.survival.ground import Ground
from scripts.survival.invariants import complaints, complaints_at_rest
from scripts.survival.killing import Kill, Killer
from scripts.survival.looking import glance, look, states
from scripts.survival.pushing import Client, Told
from scripts.survival.spare import QuickServer, Spare
from scripts.survival.telling import by, seconds
from tests.e2e.world import Server, wait_until

STACK = "bookworm"
_REST_SECONDS = 900.0  # in which all that is under way must end by itself
_SETTLE_SECONDS = 180.0  # in which what was replaced must be gone


class Chaos:
    """A server, its clients, and who kills. What was found wrong is kept in ``found``."""

    def __init__(self, server: QuickServer, place: Ground, seed: int, apps: int) -> None:
        self.killer = Killer(server, place, self._at_rest)
        self.told = Told()
        self.found: list[str] = []
        self.stopped = False  # no kill more, and a last look
        self.glances = 0
        self.looks = 0
        self._server = server
        owner = server.developer("dora")
        self._clients = [
            Client(owner, name, random.Random(f"{seed} {name}"), self.told, small=number % 2 == 0)  # noqa: S311
            for number in range(1, apps + 1)
            if (name := f"shop-{number}")
        ]

    def run(self, kills: Iterable[Kill], every: int, most: float = math.inf) -> None:
        """A look after each ``every`` kills, and at the end; no more than ``most`` kills. It ends early where something was lost. Each app has a
        release before the first one: what is made once for all builds would be begun again and again.
        """
        self._settle()
        for client in self._clients:
            client.start()
        looked = 0
        for kill, following in _with_following(kills):
            due = self.killer.number + 1 >= min(looked + every, most)
            say(
                f"{self.killer.number + 1}: {kill.victim} at {kill.point if kill.victim == 'point' else kill.stage}"
            )
            self.killer.carry_out(kill, None if due else following)
            if self.found or self.stopped or self.killer.number >= most:
                break
            if self.killer.number >= looked + every:
                looked = self.killer.number
                self._look()
                for client in self._clients:
                    client.go_on()
        if not self.found and (self.killer.number > looked or not looked):
            self._look()
        for client in self._clients:
            client.stop()

    def _at_rest(self) -> None:
        """The server lies dead."""
        accepted, begun = self.told.so_far()
        self.found += [
            f"at rest: {text}" for text in complaints_at_rest(glance(self._server, accepted, begun))
        ]
        self.glances += 1

    def _look(self) -> None:
        """Nothing is under way; then one push more for each app, so that all of it is known to work still."""
        say(f"{self.killer.number} kills: looking at what is left")
        self.killer.disarm()  # where no further kill follows, contrary to what was planned
        for client in self._clients:
            client.rest(_REST_SECONDS)
        wait_until(lambda: not states(self._server), "all builds end", _REST_SECONDS)
        self._server.cli("gc").ok()  # refs of builds are collected with what is no longer kept
        self._complain("after the kills")
        if not self.found:
            self._settle()
            self._complain("after another push to each app")
        self.looks += 1

    def _settle(self) -> None:
        """A push to each app, which goes live. Raises AssertionError."""
        with ThreadPoolExecutor(len(self._clients)) as pool:
            for settled in [pool.submit(client.settle) for client in self._clients]:
                settled.result()

    def _complain(self, when: str) -> None:
        """What was replaced may take a moment to go."""
        until = time.monotonic() + _SETTLE_SECONDS
        while True:
            seen = look(self._server, *self.told.so_far())
            found = complaints(seen)
            if not found or time.monotonic() > until:
                break
            time.sleep(0.5)
        self.found += [f"{when}: {text}" for text in (*found, *self.killer.wrong)]

    def as_json(self) -> dict[str, Any]:
        killer = self.killer
        return {
            "kills": killer.number,
            "by victim": by(killer.kills, 0),
            "by stage": by(killer.kills, 1),
            "table": {f"{victim} {stage}": number for (victim, stage), number in killer.kills.items()},
            "points": dict(killer.points),
            "looks at a dead server's disk": self.glances,
            "looks at everything": self.looks,
            "pushes": dict(self.told.ends.most_common()),
            "builds told of": len(self.told.begun),
            "seconds from a server's start to a job that goes on": seconds(killer.resumed),
            "the same of forked servers": seconds(killer.resumed_forked),
            "seconds from SIGTERM to the end": seconds(killer.ended),
            "lost": self.found,
        }


def _with_following(kills: Iterable[Kill]) -> Iterator[tuple[Kill, Kill | None]]:
    ahead = iter(kills)
    kill = next(ahead, None)
    while kill is not None:
        following = next(ahead, None)
        yield kill, following
        kill = following


@contextmanager
def chaos(
    folder: Path, place: Ground, stack: dict[str, str], seed: int, apps: int, target: str = "docker"
) -> Iterator[Chaos]:
    """A server on that ground, which dies where it is told to, with ``apps`` clients that do not push yet."""
    settings = {
        **place.env,
        "GITRECEIVE_BUILD_CONCURRENCY": str(max(2, apps // 2)),
        "GITRECEIVE_RETENTION_RELEASES": "1000",  # all are looked at
    }
    spare = Spare()
    server = QuickServer(
        folder, target, settings, program=("-m", "tests.crash_points"), spare=spare, patience=300.0
    )
    _take_stack(server, place, stack)
    server.start()
    try:
        yield Chaos(server, place, seed, apps)
    finally:
        if place.docker is None or target == "kubernetes":  # else all of it goes with the engine
            server.destroy_apps()
        if server.process is not None and server.process.poll() is None:
            server.stop()
        spare.close()


def _take_stack(server: Server, place: Ground, stack: dict[str, str]) -> None:
    """The base images, into the registry that is ours: as they are in the one that has them."""
    if place.registry is None:
        words = ("--build-image", stack["build"], "--run-image", stack["run"])
        server.cli("stack", "create", STACK, *words).ok()
        return
    log, cancel = Voice(lambda _: None), Cancellation()
    with closing(OciRegistry(place.registry_address, insecure=True, environment={})) as registry:
        build, run = (
            str(registry.copy(stack[kind], f"stacks/{STACK}-{kind}", log, cancel))
            for kind in ("build", "run")
        )
    server.cli("stack", "create", STACK, "--build-image", build, "--run-image", run).ok()


def say(text: str) -> None:
    print(f"       {text}", file=sys.stderr, flush=True)
