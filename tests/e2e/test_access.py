"""Several people with their own keys on one app: who may do what, what ends when it is taken away, and what is told of it afterwards."""

import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.e2e.world import Clone, Developer

pytestmark = pytest.mark.e2e

_PATIENCE = 20  # seconds: what takes a second or two may take longer on a busy machine


def started(who: Developer, *words: str) -> "subprocess.Popen[str]":
    """A command over SSH that has begun to print."""
    ssh = [*who.ssh_command, "-p", str(who.server.ssh_port), "git@127.0.0.1", *words]
    client = subprocess.Popen(
        ssh, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert client.stdout
    assert client.stdout.readline()
    return client


def test_people_do_what_they_were_given_and_no_more_until_it_is_taken_away(
    new_app: Callable[[str], Clone],
) -> None:
    shop = new_app("procfile-worker")
    alice, server = shop.owner, shop.owner.server
    bob = server.developer(f"bob-{shop.app}"[:39])
    team = f"team-{shop.app}"[:39]
    shop.push().ok().says("v1 is live")
    his = replace(shop, owner=bob)

    bob.ssh("ps", "--app", shop.app).failed().says(f"{bob.name} may not see {shop.app}")
    alice.ssh("access", "add", shop.app, bob.name, "--role", "viewer").ok().says("is a viewer of")
    bob.ssh("ps", "--app", shop.app).ok().says("web", "up")
    bob.ssh("config", "get", shop.app, "HOME").failed().says("may not configure")
    his.push().failed().says(f"{bob.name} may not push to {shop.app}")

    following = started(bob, "logs", "-f", "--app", shop.app)
    alice.ssh("access", "remove", shop.app, bob.name).ok()
    _, said = following.communicate(timeout=_PATIENCE)
    assert following.returncode != 0
    assert f"{bob.name} may no longer view {shop.app}: this is ended" in said

    server.cli("teams", "create", team).ok()
    server.cli("teams", "add", team, bob.name).ok()
    alice.ssh("access", "add", shop.app, "--team", team, "--role", "developer").ok()
    bob.ssh("config", "set", shop.app, "GREETING=hush").ok().says("v2 is live")
    bob.ssh("apps", "destroy", shop.app, "--confirm", shop.app).failed().says("may not administer")

    shop.replace("Procfile", "release: python prepare_release.py", "release: sleep 8")
    push = his.start_push()
    assert push.stderr
    lines = iter(push.stderr.readline, "")
    assert any("Running the release command of v3" in line for line in lines)
    (fingerprint,) = bob.ssh("users", "info", "--json").ok().json()["keys"]
    server.cli("keys", "remove", fingerprint).ok()
    said = push.stderr.read()
    assert push.wait(_PATIENCE) != 0
    push.stderr.close()
    assert f"the key {fingerprint} was removed" in said
    bob.ssh("apps", "list").failed().says("Permission denied")
    alice.ssh("builds", "attach", "--app", shop.app).ok().says("v3 is live")
    assert shop.remote_head() == shop.head

    _tells(alice, shop.app, bob.name, fingerprint)
    server.cli("teams", "destroy", team).ok()
    server.cli("users", "remove", bob.name).ok()


def _tells(alice: Developer, app: str, bob: str, fingerprint: str) -> None:
    events = alice.ssh("events", "--app", app, "--json").ok()
    events.does_not_say("hush")
    seen = [(event["user"], event["verb"], event["outcome"]) for event in reversed(events.json())]
    for expected in (
        ("alice", "apps create", "done"),
        ("alice", "push", "done"),
        ("alice", "build", "done"),
        (bob, "ps", "denied"),
        ("alice", "access add", "done"),
        (bob, "config get", "denied"),
        (bob, "push", "denied"),
        ("alice", "access remove", "done"),
        ("alice", "access add", "done"),
        (bob, "config set", "done"),
        (bob, "apps destroy", "denied"),
        (bob, "push", "done"),
        (bob, "build", "done"),
    ):
        assert expected in seen, f"{expected} is not in {seen}"
        seen = seen[seen.index(expected) + 1 :]
    mine = [event for event in events.json() if event["user"] == bob and event["via"] != "server"]
    assert {(event["via"], event["address"]) for event in mine} == {(f"key {fingerprint}", "127.0.0.1")}


def test_a_push_waits_for_a_quota_of_builds_and_none_goes_past_one_of_replicas(
    new_app: Callable[[str], Clone],
) -> None:
    shop = new_app("procfile-worker")
    alice, server = shop.owner, shop.owner.server
    server.cli("quotas", "set", "--app", shop.app, "--builds", "0", "--replicas", "1").ok()
    alice.ssh("quotas", "set", "--app", shop.app, "--builds", "9").failed().says("only an administrator")
    push = shop.start_push()
    assert push.stderr
    lines = iter(push.stderr.readline, "")
    assert any(f"Waiting: the quota of app {shop.app} is 0 builds at once" in line for line in lines)
    server.cli("quotas", "set", "--app", shop.app, "--builds", "none").ok()
    said = push.stderr.read()
    assert push.wait(_PATIENCE) != 0
    push.stderr.close()
    assert f"the quota of app {shop.app} is 1 replica: that would be 2 here" in said
    server.cli("quotas", "set", "--app", shop.app, "--replicas", "2").ok()
    shop.push().ok().says("v1 is live")
