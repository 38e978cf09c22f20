"""Commands by the clock: what a source declares and what people set, on the cluster's clock or on the server's own."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.world import Clone, wait_until

pytestmark = pytest.mark.e2e

_EVERY_MINUTE = "'* * * * *'"
_PATIENCE = 150.0  # seconds: a minute until it is due, and old clusters look every ten seconds


def test_commands_run_by_the_clock_and_their_history_and_logs_are_kept(
    new_app: Callable[[str], Clone],
) -> None:
    shop = new_app("procfile-worker")
    alice = shop.owner
    alice.ssh("config", "set", shop.app, "GREETING=hello").ok()
    cron = [{"schedule": "* * * * *", "command": "echo declared $GREETING of $GITRECEIVE_RELEASE"}]
    shop.commit("Greet each minute", {"app.json": json.dumps({"cron": cron})})
    shop.push().ok().says("v1 is live after")
    words = ("--schedule", _EVERY_MINUTE, "--", "'echo set by hand; exit 3'")
    alice.ssh("cron", "set", shop.app, "report", *words).ok().says("cron report", "v1 serves as before")
    alice.ssh("cron", "set", shop.app, "never", "--schedule", "@yearly", "--", "true").ok()
    declared, other, report = _listed(shop)
    assert (declared["by"], other["by"], report["by"]) == ("app.json", "cron set", "cron set")
    assert all(entry["next"] for entry in (declared, other, report))

    now = alice.ssh("cron", "run", shop.app, "report")
    assert (now.code, now.out) == (3, "set by hand\n")
    alice.ssh("cron", "run", shop.app, "dust").failed().says("runs no dust by the clock")
    alice.server.developer("bob").ssh("cron", "run", shop.app, "report").failed().says("bob may not")
    alice.ssh("cron", "unset", shop.app, declared["name"]).failed().says("it is in app.json")

    wait_until(lambda: _ended(shop, "report"), "what was set has run", _PATIENCE)
    wait_until(lambda: _ended(shop, declared["name"]), "what is declared has run", _PATIENCE)
    failed, greeted = _ended(shop, "report")[0], _ended(shop, declared["name"])[0]
    assert (failed["state"], failed["exit_code"], failed["release"]) == ("failed", 3, 1)
    assert (greeted["state"], greeted["exit_code"]) == ("ended", 0)
    assert failed["ended"] >= failed["started"]
    logs = alice.ssh("logs", "--app", shop.app, "--source", "cron").ok()
    for text in ("declared hello of v1", "set by hand", failed["name"]):
        logs.says(text)
    alice.ssh("logs", "--app", shop.app, "--source", "app").ok().does_not_say("set by hand")

    alice.ssh("cron", "unset", shop.app, "report").ok()
    shop.commit("Greet no more", {"app.json": "{}"})
    shop.push().ok()
    assert [entry["name"] for entry in _listed(shop)] == ["never"]
    alice.ssh("ps", "stop", shop.app).ok()
    alice.ssh("cron", "list", shop.app).ok().says("never", "@yearly", "it is stopped")


def _listed(shop: Clone) -> list[dict[str, Any]]:
    """By name."""
    found: list[dict[str, Any]] = shop.owner.ssh("cron", "list", shop.app, "--json").ok().json()
    return found


def _history(shop: Clone, entry: str) -> list[dict[str, Any]]:
    found = shop.owner.ssh("cron", "history", shop.app, "--json").ok().json()
    return [run for run in found if run["entry"] == entry]


def _ended(shop: Clone, entry: str) -> list[dict[str, Any]]:
    return [run for run in _history(shop, entry) if run["state"] in {"ended", "failed"}]
