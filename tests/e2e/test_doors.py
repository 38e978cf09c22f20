"""The same commands on the server's own host and over SSH, about an app that runs."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.world import Clone, Said

pytestmark = pytest.mark.e2e


def test_what_runs_is_told_alike_on_the_host_and_over_ssh(new_app: Callable[[str], Clone]) -> None:
    shop = new_app("procfile-worker")
    shop.push().ok()
    server, alice = shop.owner.server, shop.owner

    def both(*words: str) -> Said:
        here, there = server.cli(*words).ok(), alice.ssh(*words).ok()
        assert here.out == there.out
        return there

    info = both("apps", "info", shop.app, "--json").json()
    assert (info["release"], info["commit"], info["owner"]) == ("v1", shop.head, "alice")
    assert info["processes"] == ["web", "worker"]
    assert "@sha256:" in info["image"]
    assert both("open", "--app", shop.app).out.strip() == info["url"]
    assert both("version").out.startswith("gitreceive ")
    log = both("builds", "log", "--app", shop.app).out
    assert "v1 is live" in log
    builds = both("builds", "list", "--app", shop.app, "--json").json()
    assert [(build["state"], build["release"], build["user"]) for build in builds] == [("live", 1, "alice")]
    assert set(builds[0]["seconds"]) == {"build", "publish", "release", "roll out"}

    ps = alice.ssh("ps", "--app", shop.app).ok()
    ps.says("web: 1 of 1 ready", "worker: 1 of 1 ready", "PROCESS", "web", "v1", "up")
    assert {p["process"] for p in server.cli("ps", "--app", shop.app, "--json").ok().json()["processes"]} == {
        "web",
        "worker",
    }


def test_destroy_wants_the_name_typed_and_leaves_nothing(new_app: Callable[[str], Clone]) -> None:
    shop = new_app("procfile-worker")
    shop.push().ok()
    url = shop.web()

    shop.owner.ssh("apps", "destroy", shop.app).failed().says("was not removed", f"--confirm {shop.app}")
    shop.owner.ssh("apps", "destroy", shop.app, "--confirm", "other").failed().says("is not its name")
    assert shop.get("/")
    shop.owner.ssh("apps", "destroy", shop.app, "--confirm", shop.app).ok()

    shop.owner.ssh("apps", "info", shop.app).failed().says(f"no app {shop.app}")
    shop.git("ls-remote", "deploy").failed()
    end = time.monotonic() + 10
    while _answers(url):
        assert time.monotonic() < end, f"{url} still answers"
        time.sleep(0.2)


def _answers(url: str) -> bool:
    from tests.e2e.world import fetch

    try:
        fetch(url, patience=0)
    except (OSError, AssertionError):
        return False
    return True
