"""An app that comes from Heroku: pushed as it is, released with its hooks, and shown for review."""

import json
import secrets

import pytest

from tests.e2e.world import Developer, fetch, wait_until

pytestmark = pytest.mark.e2e


def test_an_app_of_herokus_works_with_no_edit_and_a_branch_of_it_has_its_own_address(
    alice: Developer,
) -> None:
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "heroku")
    first = shop.push().ok()
    first.says(
        "app.json: stack changes nothing",
        "app.json: buildpacks[0].url: heroku/python is gitreceive/python here",
        "app.json sets GREETING",
        "app.json has new secrets made: SECRET_KEY",
        "buildpacks as app.json says: gitreceive/python",
        "Running the release command of v1",
        "Migrating with a key of 64 characters, for: Welcome",
        "Rolling out v1: web=1, worker=2",
        "Running scripts.postdeploy of v1",
        "Filling the window: Welcome",
        "v1 is live after",
    )
    assert shop.get() == "Welcome, with a key of 64 characters\n"
    key = alice.ssh("config", "get", shop.app, "SECRET_KEY").ok().out.strip()
    first.does_not_say(key)
    assert sorted(process["process"] for process in shop.processes()) == ["web", "worker", "worker"]

    # a review app
    alice.ssh("reviews", "set", shop.app, "--lifetime", "2h").ok()
    shop.git("switch", "--quiet", "-c", "fix/window").ok()
    shop.replace("shop.py", "characters", "letters")
    shop.git("push", "deploy", "fix/window").failed().says("git push -o review")
    shop.git("push", "-o", "review", "deploy", "fix/window").ok().says(
        "Review app",
        "Migrating with a key of 64 characters, for: For review",
        "Rolling out v1: web=1, worker=0",
        "Filling the window: For review",
    )
    (review,) = alice.ssh("reviews", "list", shop.app, "--json").ok().json()
    assert fetch(review["url"]) == "For review, with a key of 64 letters\n"
    assert shop.get() == "Welcome, with a key of 64 characters\n"
    assert alice.ssh("config", "get", review["name"], "SECRET_KEY").ok().out.strip() != key
    shop.git("push", "deploy", ":fix/window").ok().says("Emptying the window", "is gone")
    assert alice.ssh("reviews", "list", shop.app, "--json").ok().json() == []
    shop.git("switch", "--quiet", "main").ok()

    # hooks that fail, and an app.json that is wrong
    described = json.loads((shop.folder / "app.json").read_text())
    broken = {**described, "scripts": {"dokku": {"predeploy": "echo not today; exit 3"}}}
    shop.commit("Check before", {"app.json": json.dumps(broken)})
    failed = shop.push().failed()
    failed.says("Running scripts.dokku.predeploy of v2", "not today", "failed (exit 3)", "[remote rejected]")
    failed.does_not_say("Running the release command", "Rolling out")
    wrong = json.dumps({**described, "cron": [{"schedule": "0 25 * * *", "command": "true"}]}, indent=2)
    shop.commit("Clean at night", {"app.json": wrong})
    shop.push().failed().says("app.json, line", "cron[0].schedule: '25' is outside").does_not_say(
        "Publishing"
    )
    after = {**described, "scripts": {"dokku": {"postdeploy": "echo told; exit 4"}}}
    shop.commit("Tell after", {"app.json": json.dumps(after)})
    told = shop.push().ok()
    told.says(
        "Running scripts.dokku.postdeploy of v2", "told", "failed (exit 4)", "v2 stays live", "is live after"
    )
    told.does_not_say("scripts.postdeploy", "new secrets made")

    # the release command sees the new config, and stops it
    shop.commit("Refuse", {"bin/release": '#!/bin/sh\n[ "$GREETING" != Bye ] || exit 5\n', "app.json": "{}"})
    shop.push().ok()
    refused = alice.ssh("config", "set", shop.app, "GREETING=Bye").failed()
    refused.says("Running the release command of v4", "failed (exit 5)")
    wait_until(lambda: shop.get() == "Welcome, with a key of 64 characters\n", "the old one serves")
    alice.server.let_go(shop.app)
