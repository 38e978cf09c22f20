"""One image from staging to production: the same digest, another config."""

import secrets

import pytest

from tests.e2e.world import Developer

pytestmark = pytest.mark.e2e


def test_what_runs_in_staging_goes_to_production_and_outlives_it(alice: Developer) -> None:
    staging = alice.creates(f"staging-{secrets.token_hex(3)}", "flask")
    shop = f"shop-{secrets.token_hex(3)}"
    procfile = (staging.folder / "Procfile").read_text()
    staging.commit("Tell", {"Procfile": f"{procfile}release: echo migrates $WHERE\n"})
    alice.ssh("apps", "create", shop).ok()
    alice.ssh("config", "set", shop, "WHERE=production").ok()
    alice.ssh("config", "set", staging.app, "WHERE=staging").ok()
    staging.push().ok().says("migrates staging", "v1 is live after")

    said = alice.ssh("promote", staging.app, "--to", shop).ok()
    said.says(
        f"Promoting {staging.app} v1 to {shop}", "taking over", "migrates production", "v1 is live after"
    )
    said.does_not_say("gitreceive/python", "sent")
    there, here = (
        alice.ssh("releases", "info", app, "v1", "--json").ok().json() for app in (staging.app, shop)
    )
    assert here["image"].partition("@")[2] == there["image"].partition("@")[2]
    assert here["image"] != there["image"]
    assert here["description"] == f"Promote {staging.app} v1"

    alice.server.cli("apps", "destroy", staging.app, "--confirm", staging.app).ok()
    alice.ssh("redeploy", shop).ok().says("v2 is live after")
    alice.server.let_go(shop)
