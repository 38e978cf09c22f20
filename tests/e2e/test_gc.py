"""What is no longer kept goes, in the registry too, and the app is none the worse."""

import secrets

import pytest

from tests.e2e.requests import Requests
from tests.e2e.world import Developer

pytestmark = pytest.mark.e2e


def test_old_releases_go_and_what_is_kept_can_be_rolled_back_to(alice: Developer) -> None:
    server = alice.server
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "static")
    for number in range(3):
        shop.commit(f"Number {number}", {"index.html": f"number {number}\n"})
        shop.push().ok()
    first = alice.ssh("releases", "info", shop.app, "v1", "--json").ok().json()["image"]
    gc = ("gc", "--app", shop.app)
    server.settings = {**server.settings, "GITRECEIVE_RETENTION_RELEASES": "2"}
    would = server.cli(*gc, "--dry-run", "--json").ok().json()
    assert would["apps"][0]["releases"] == [1]
    assert first in would["apps"][0]["images"]
    assert would["bytes_in_registry"] > 0

    server.cli("gc", "--dry-run").ok().says("Keeping 2 releases", "Would free")

    with Requests(shop.web() + "/") as requests:
        requests.until(lambda seen: "number 2\n" in seen)
        server.cli(*gc).ok().says("v1 and 1 image go", "Freed")
        alice.ssh("rollback", shop.app, "v1").failed().says("v1 is no longer kept")
        alice.ssh("rollback", shop.app, "v2").ok().says("v4 is live after")
        requests.until(lambda seen: "number 1\n" in seen)
    assert requests.failures == []
    assert server.cli(*gc, "--json").ok().json()["apps"] == [{"app": shop.app, "releases": [2], "images": []}]
    shop.commit("As the first was", {"index.html": "number 0\n"})
    shop.push().ok().says("v5 is live after")
    assert shop.get() == "number 0\n"
    server.let_go(shop.app)
