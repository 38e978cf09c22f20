"""A release that was live is live again: nothing is built, and no request is dropped."""

import secrets

import pytest

from tests.e2e.requests import Requests
from tests.e2e.world import Developer

pytestmark = pytest.mark.e2e


def test_an_app_goes_back_to_an_earlier_release_and_on_without_a_failed_request(alice: Developer) -> None:
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "flask")
    procfile = (shop.folder / "Procfile").read_text()
    shop.commit("Migrate before each release", {"Procfile": f"{procfile}release: echo migrated\n"})
    first = shop.head
    shop.push().ok().says("migrated", "v1 is live after")
    shop.replace("app.py", 'VERSION = "1"', 'VERSION = "2"')
    shop.push().ok().says("migrated", "v2 is live after")

    with Requests(shop.web() + "/") as requests:
        requests.until(lambda seen: "Hello from Flask, version 2\n" in seen)
        back = alice.ssh("rollback", shop.app).ok()
        requests.until(lambda seen: "Hello from Flask, version 1\n" in seen)
        again = alice.ssh("redeploy", shop.app).ok()
    assert requests.failures == []
    back.says(f"Rolling back {shop.app} v2 to v1", "Rolling out v3: web=1", "v3 is live after")
    again.says(f"Redeploying {shop.app} v3", "v4 is live after")
    for said in (back, again):
        said.does_not_say("migrated", "Publishing", "gitreceive/python")
    assert shop.get() == "Hello from Flask, version 1\n"
    assert shop.remote_head() == shop.head

    releases = alice.ssh("releases", shop.app, "--json").ok().json()
    assert [release["description"] for release in releases[:2]] == ["Redeploy v3", "Rollback to v1"]
    assert [release["commit"] for release in releases] == [first, first, shop.head, first]
    assert releases[0]["image"] == releases[3]["image"] != releases[2]["image"]
    alice.ssh("releases", "diff", shop.app, "v2", "v3").ok().says(f"{shop.head[:7]}..{first[:7]}")
    alice.ssh("releases", "info", shop.app, "v4").ok().says("Redeploy v3 (live)", "gitreceive/python")

    shop.commit("Nothing")
    shop.push().ok().says("v5 is live after")
    assert shop.get() == "Hello from Flask, version 2\n"


def test_what_cannot_be_rolled_back_to_is_refused_and_touches_nothing(alice: Developer) -> None:
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "static")
    alice.ssh("rollback", shop.app).failed().says(f"nothing of {shop.app} is live")
    shop.push().ok()
    alice.ssh("rollback", shop.app).failed().says("before v1")
    alice.ssh("rollback", shop.app, "v1").failed().says(
        "v1 is live already", f"gitreceive redeploy {shop.app}"
    )
    alice.ssh("rollback", shop.app, "v9").failed().says(f"there is no release v9 of {shop.app}")
    assert len(shop.builds()) == 1
