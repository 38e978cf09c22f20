"""A server on its ground, its clients, and who kills; what was lost is what the looks in between and at the end complain of."""

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
from scripts.survival.invariants import complaints
from scripts.survival.killing import Kill, Killer
from scripts.survival.looking import look, states
from scripts.survival.pushing import Client, Told
from tests.e2e.world import Server, wait_until

STACK = "bookworm"
_REST_SECONDS = 240.0  # in which all that is under way must end by itself
_SETTLE_SECONDS = 60.0  # in which what was replaced must be gone


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

    def run(self, kills: Iterable[Kill], every: int) -> None:
        """A look after each ``every``, and at the end. It ends early where something was lost."""
        for client in self._clients:
            client.start()
        for number, kill in enumerate(kills, start=1):
            if number > 1 and (number - 1) % every == 0:
                say(f"{number - 1} rounds, {self.killer.number} kills: looking at what is left")
                self._look()
                for client in self._clients:
                    client.go_on()
            if self.found:
                break
            say(f"{number}: {kill.victim}{f' at {kill.point}' if kill.victim == 'point' else ''}")
            self.killer.carry_out(kill)
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
            "seconds from a start to a job claimed": {
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
        if place.docker is None:  # else all of it goes with the engine
            server.destroy_apps()
        if server.process is not None and server.process.poll() is None:
            server.stop()


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
