"""One app through every door, and the same commands on the server's own host and over SSH."""

import getpass
import time
from collections.abc import Callable

import pytest

from tests.e2e.sshd import sshd
from tests.e2e.world import Clone, Said, run

pytestmark = pytest.mark.e2e


def test_one_app_is_pushed_through_every_door(new_app: Callable[[str], Clone]) -> None:
    shop = new_app("static")
    server, alice = shop.owner.server, shop.owner
    token = alice.ssh("tokens", "create", "laptop", "--app", shop.app).ok().out.strip()
    web = f"http://git:{token}@127.0.0.1:{server.http_port}/{shop.app}"

    by_http = shop.git("push", "-o", "nocache", web, "main").ok()
    by_http.says("Build ", " by alice", "builds attach", "v1 is live after", "To http://127.0.0.1:")
    by_http.does_not_say(token)
    assert "Hello" in shop.get("/")
    bob = server.developer("bob").ssh("tokens", "create", "laptop").ok().out.strip()
    refused = shop.git("push", web.replace(token, bob), "main").failed()
    refused.says(f"remote: bob may not push to {shop.app}", "ask its owner, alice")
    shop.git("push", web.replace(token, "wrong"), "main").failed().says("no token of this server")

    account = getpass.getuser()
    shop.replace("index.html", "Hello", "Hallo")
    with sshd(server, account) as port:
        by_sshd = shop.git("push", f"ssh://{account}@127.0.0.1:{port}/{shop.app}", "main").ok()
        by_sshd.says("v2 is live after")
        there = [*alice.ssh_command, "-p", str(port), f"{account}@127.0.0.1"]
        run([*there, "releases", "--app", shop.app]).ok().says("v2", "v1")
        assert run([*there, "releases", "info", "v9", "--app", shop.app]).code == 3
        run([*there, "apps", "info", shop.app, "--json"]).ok()
    assert "Hallo" in shop.get("/")
    assert shop.git("ls-remote", web, "refs/heads/main").ok().out.startswith(shop.head)


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
