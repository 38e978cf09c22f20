"""What an app prints, seen from outside while its processes crash and are replaced: each line once, and in order."""

import itertools
import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.world import Clone, Developer, wait_until
from tests.engines.log_receivers import SyslogServer

pytestmark = pytest.mark.e2e

_CRASH_AFTER = 250

# counts aloud from 0 in each run; told to, it crashes after so many
_WORKER = """import os, secrets, signal, sys, time
run, last = secrets.token_hex(3), int(os.environ.get("CRASH_AFTER", 10**9))
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
for number in range(10**9):
    print("run", run, os.environ["GITRECEIVE_RELEASE"], number, flush=True)
    if stop:
        print("run", run, os.environ["GITRECEIVE_RELEASE"], "stopped", flush=True)
        break
    if number == last:
        print("run", run, os.environ["GITRECEIVE_RELEASE"], "crashed", flush=True)
        sys.exit(1)
    time.sleep(0.02)
"""


@dataclass
class Follower:
    """``logs -f`` over SSH, as it is read."""

    process: "subprocess.Popen[str]"
    lines: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    @property
    def texts(self) -> list[str]:
        return [line["text"] for line in list(self.lines)]


@contextmanager
def following(alice: Developer, *words: str) -> Iterator[Follower]:
    port = str(alice.server.ssh_port)
    command = [*alice.ssh_command, "-p", port, "git@127.0.0.1", "logs", *words, "-f", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, stdin=subprocess.DEVNULL) as process:
        follower = Follower(process)
        thread = threading.Thread(target=follower.read)
        thread.start()
        try:
            yield follower
        finally:
            if process.poll() is None:
                process.terminate()
            thread.join(20)


def runs(texts: list[str]) -> dict[tuple[str, str], list[str]]:
    """By release and run: what it said, in the order in which it came."""
    found: dict[tuple[str, str], list[str]] = {}
    for text in texts:
        _, run, release, said = text.split(" ", 3)
        found.setdefault((release, run), []).append(said)
    return found


def assert_each_once(texts: list[str]) -> None:
    for said in runs(texts).values():
        numbers = [int(word) for word in said if word.isdigit()]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), said
        assert all(word.isdigit() for word in said[:-1]), said


def _counting(alice: Developer) -> Clone:
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "procfile-worker")
    shop.commit("Count aloud", {"work.py": _WORKER})
    return shop


def test_each_line_comes_once_over_a_crash_and_a_new_release_followed_drained_and_looked_up(
    alice: Developer,
) -> None:
    shop = _counting(alice)
    receiver = SyslogServer(None)
    receiver.start()
    drain = f"syslog+tcp://127.0.0.1:{receiver.port}"
    alice.ssh("log-drains", "add", shop.app, drain).ok().says("-----> Log drain", drain)
    alice.ssh("log-drains", "test", shop.app, drain).ok().says("took one line")
    shop.push().ok()

    with following(alice, shop.app, "--source", "all", "-n", "0") as follower:
        wait_until(lambda: len(follower.lines) > 20, "lines are followed")
        _assert_history_can_be_chosen(shop)
        receiver.kill()
        alice.ssh("config", "set", shop.app, f"CRASH_AFTER={_CRASH_AFTER}").ok().says("v2 is live")
        wait_until(lambda: any("v2 crashed" in text for text in follower.texts), "the worker crashes")
        wait_until(
            lambda: len([run for run in runs(_worker(follower)) if run[0] == "v2"]) > 1, "it comes back"
        )
        _assert_drains_are_managed(shop)
        receiver.start()
        _assert_drained(receiver, _worker(follower))
        alice.ssh("apps", "destroy", shop.app, "--confirm", shop.app).ok()
        assert follower.process.wait(60) == 0
        assert follower.process.stderr
        assert f"{shop.app} is gone: it was destroyed" in follower.process.stderr.read()
    receiver.kill()

    found = runs(_worker(follower))
    assert_each_once(_worker(follower))
    assert next(said[-1] for run, said in found.items() if run[0] == "v1") == "stopped"
    crashed = next(said for run, said in found.items() if run[0] == "v2")
    assert crashed == [*(str(number) for number in range(_CRASH_AFTER + 1)), "crashed"]
    assert {"app", "build", "release"} <= {line["source"] for line in follower.lines}
    assert "release prepared" in [line["text"] for line in follower.lines if line["source"] == "release"]


def _worker(follower: Follower) -> list[str]:
    return [line["text"] for line in list(follower.lines) if line["process"] == "worker"]


def _assert_drained(receiver: SyslogServer, followed: list[str]) -> None:
    """All that the follower saw, and the builds; what was sent twice counts once."""
    wait_until(lambda: set(followed) <= set(receiver.texts), "all of it is drained", 90)
    assert any("v2 is live" in text for text in receiver.texts)
    drained = dict.fromkeys(text for text in receiver.texts if text.startswith("run "))
    for _, same in itertools.groupby(sorted(runs(list(drained)).items()), key=lambda run: run[0]):
        for _, said in same:
            numbers = [int(word) for word in said if word.isdigit()]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _assert_history_can_be_chosen(shop: Clone) -> None:
    def logs(*words: str) -> list[dict[str, Any]]:
        said = shop.owner.ssh("logs", shop.app, *words, "--json").ok().out
        return [json.loads(line) for line in said.splitlines()]

    worker = logs("--ps", "worker", "-n", "50000")
    assert_each_once([line["text"] for line in worker])
    instance, middle = worker[0]["instance"], worker[10]["time"]
    assert {line["instance"] for line in logs("--ps", instance)} == {instance}
    before = logs("--ps", "worker", "--until", middle, "-n", "3")
    assert [line["text"] for line in before] == [line["text"] for line in worker[8:11]]
    everything = logs("--source", "all", "-n", "50000")
    assert [line["time"] for line in everything] == sorted(line["time"] for line in everything)
    texts = {line["source"]: line["text"] for line in everything}
    assert texts["release"] == "release prepared"
    assert {"app", "build", "release"} == set(texts)
    coloured = shop.owner.ssh("logs", shop.app, "-n", "1", "--color", "always").ok().out
    assert coloured.startswith("\x1b[")


def _assert_drains_are_managed(shop: Clone) -> None:
    ssh = shop.owner.ssh
    ssh("log-drains", "add", shop.app, "https://169.254.169.254/").failed().says("do not reach", "private")
    added = ssh("log-drains", "add", shop.app, "syslog+tcp://127.0.0.1:9", "--json").ok().json()
    assert ssh("log-drains", "test", shop.app, str(added["id"])).failed().code == 7
    first, second = ssh("log-drains", "list", shop.app, "--json").ok().json()
    assert (first["state"], "refused" in first["error"]) == ("retrying", True)
    assert (second["id"], second["to"]) == (added["id"], "syslog+tcp://127.0.0.1:9")
    ssh("log-drains", "remove", shop.app, str(added["id"])).ok().says("is removed")
