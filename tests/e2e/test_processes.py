"""What runs of an app is changed while visitors ask all along: none of them is left without an answer."""

import secrets
from typing import Any

import pytest

from gitreceive.engines.kubernetes_target.api import Api
from tests.e2e.requests import Requests
from tests.e2e.world import Clone, Developer, Server, fetch, wait_until

pytestmark = pytest.mark.e2e

_APP = """import os, signal, socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PLACES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
LIMIT = next(Path(place).read_text().strip() for place in PLACES if Path(place).exists())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        told = {"/": "hello", "/who": socket.gethostname(), "/memory": LIMIT}
        body = told.get(self.path, "?").encode()
        self.send_response(500 if self.path == "/sick" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
_PROCFILE = "web: python3 app.py\nworker: python work.py\n"


@pytest.fixture
def shop(alice: Developer) -> Any:
    """An app with a worker, for which two web processes were asked before its first push."""
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "procfile-worker")
    shop.commit("Say who answers", {"app.py": _APP, "Procfile": _PROCFILE})
    alice.ssh("ps", "scale", shop.app, "web=2").ok().says("Kept for the first release")
    shop.push().ok().says("Rolling out v1: web=2, worker=1", "v1 is live after")
    yield shop
    alice.server.let_go(shop.app)


def names(shop: Clone, process: str) -> set[str]:
    return {p["instance"] for p in shop.processes() if p["process"] == process and p["state"] == "up"}


def who(url: str) -> set[str]:
    return {fetch(url + "/who") for _ in range(12)}


def test_processes_are_scaled_limited_and_restarted_without_a_failed_request(
    shop: Clone, alice: Developer, server: Server
) -> None:
    url = shop.web()
    first, answering = names(shop, "web"), who(url)
    with Requests(url + "/") as requests:
        alice.ssh("ps", "scale", shop.app, "web=3", "worker=2").ok().says("v1 serves as before")
        assert names(shop, "web") > first
        assert len(names(shop, "worker")) == 2
        alice.ssh("ps", "scale", shop.app, "web=2", "worker=0").ok()
        shop.owner.ssh("ps", shop.app).ok().says("web: 2 of 2 ready", "worker: 0 of 0 ready")
        said = alice.ssh("ps", "restart", shop.app, "web").ok().says("restart web", "v1 serves as before")
        said.does_not_say("v2")
        wait_until(lambda: not who(url) & answering, "none of the first processes answers any more")
        alice.ssh("ps", "limits", shop.app, "web", "--memory", "96Mi", "--cpu", "0.2").ok().says("v2 is live")
        wait_until(lambda: fetch(url + "/memory") == str(96 << 20), "all processes have the new limit")
        asked(shop, alice)
        shop.commit("Nothing")
        shop.push().ok().says("Rolling out v5: web=2, worker=1")
    assert requests.failures == []
    assert fetch(url + "/memory") == str(96 << 20)
    told = alice.ssh("ps", shop.app, "--json").ok().json()["processes"][0]
    assert (told["desired"], told["ready"], told["memory"], told["cpu"]) == (2, 2, "96Mi", "0.2")
    alice.ssh("ps", "scale", shop.app, "clock=1").failed().says(
        "no process type 'clock'", "it has web, worker"
    )
    alice.ssh("rollback", shop.app, "v1").ok().says("v6 is live")
    wait_until(lambda: fetch(url + "/memory") != str(96 << 20), "the first release's limits are back")
    assert alice.ssh("ps", shop.app, "--json").ok().json()["processes"][0]["desired"] == 2

    if server.target == "docker":
        words = ("ps", "autoscale", shop.app, "web", "--min", "3", "--max", "4", "--cpu", "70")
        alice.ssh(*words).failed().says("the docker target does not scale by itself")
    else:
        autoscaled(shop, alice, server)


def asked(shop: Clone, alice: Developer) -> None:
    """What does not pass its health check is put back, and the log says which check and what was answered."""
    sick = ("--kind", "startup", "--path", "/sick", "--attempts", "2", "--interval", "1")
    said = alice.ssh("healthchecks", "set", shop.app, "web", *sick).failed()
    said.says("Putting v2 back", "web failed its startup check: ", "500")
    alice.ssh("healthchecks", "set", shop.app, "web", "--path", "/", "--interval", "1").ok().says(
        "v3 is live"
    )
    alice.ssh("ps", "scale", shop.app, "worker=1").ok()
    command = ("--command", "'python -c \"import sys; sys.exit(0)\"'", "--interval", "1", "--timeout", "10")
    alice.ssh("healthchecks", "set", shop.app, "worker", *command).ok().says("v4 is live")
    alice.ssh("healthchecks", "list", shop.app).ok().says("web", "GET /", "worker", "command python -c")


def autoscaled(shop: Clone, alice: Developer, server: Server) -> None:
    """The cluster has the number of replicas, until it is taken back, and no push resets it."""
    api, space = Api(), f"t{server.ssh_port}-{shop.app}"
    words = ("ps", "autoscale", shop.app, "web", "--min", "1", "--max", "4", "--cpu", "70")
    alice.ssh(*words).ok().says("autoscale web from 1 to 4 at 70 % CPU")
    (scaler,) = api.list("HorizontalPodAutoscaler", space)["items"]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (1, 4)
    assert scaler["spec"]["scaleTargetRef"]["name"] == "web"
    path = f"/apis/apps/v1/namespaces/{space}/deployments/web/scale"  # as the autoscaler does
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 3}}
    api._call("PATCH", path, {"fieldManager": "autoscaler"}, scale, patch="application/merge-patch+json")
    alice.ssh("ps", "scale", shop.app, "web=1").failed().says("web is scaled by the cluster, from 1 to 4")
    shop.commit("Nothing, again")
    shop.push().ok()
    shop.owner.ssh("ps", shop.app).ok().says("web: 3 of 3 ready, scaled by the cluster from 1 to 4")
    alice.ssh("ps", "autoscale", shop.app, "web", "--off").ok()
    assert api.list("HorizontalPodAutoscaler", space)["items"] == []
    shop.owner.ssh("ps", shop.app).ok().says("web: 3 of 3 ready").does_not_say("scaled by the cluster")
    alice.ssh("ps", "scale", shop.app, "web=1").ok()


def test_an_app_is_closed_in_each_of_its_ways_and_opened_again(shop: Clone, alice: Developer) -> None:
    url = shop.web()
    with Requests(url + "/") as requests:
        on = ("maintenance", "on", shop.app, "--page")
        alice.ssh(*on, stdin="<p>We count the stock").ok().says("maintenance on")
    assert {failure[:3] for failure in requests.failures} <= {"503"}
    assert fetch(url + "/any", status=503) == "<p>We count the stock"
    assert len(names(shop, "web")) == 2
    shop.commit("Nothing")
    shop.push().ok().says("v2 is live after", "maintenance is on")
    assert fetch(url, status=503) == "<p>We count the stock"
    alice.ssh("maintenance", "off", shop.app).ok()
    wait_until(lambda: status(url) == 200, "the app answers again")
    with Requests(url + "/") as requests:
        assert fetch(url) == "hello"
    assert requests.failures == []

    alice.ssh("ps", "stop", shop.app).ok()
    shop.owner.ssh("ps", shop.app).ok().says("web: stopped", "worker: stopped")
    wait_until(lambda: shop.processes() == [], "nothing runs")
    assert shop.web() == url
    if alice.server.target == "docker":
        assert fetch(url, status=503) == "the app is stopped\n"
    alice.ssh("ps", "restart", shop.app).failed().says("is stopped", "ps start")
    shop.commit("Nothing, while it is stopped")
    shop.push().ok().says("v3 is live after", "is stopped")
    alice.ssh("ps", "start", shop.app).ok()
    assert (shop.web(), fetch(url), len(names(shop, "web"))) == (url, "hello", 2)

    locked(shop, alice)


def locked(shop: Clone, alice: Developer) -> None:
    alice.ssh("lock", shop.app, "-m", "'the sale runs'").ok().says("is locked: the sale runs")
    shop.commit("Nothing, while it is locked")
    shop.push().failed().says("[remote rejected]", "is locked by alice since", "the sale runs")
    for words in (("rollback",), ("config", "set"), ("ps", "stop"), ("redeploy",)):
        more = ("A=1",) if words[0] == "config" else ()
        alice.ssh(*words, shop.app, *more).failed().says("is locked by alice", "gitreceive unlock")
    alice.ssh("apps", "info", shop.app).ok().says("locked", "by alice", "the sale runs")
    alice.ssh("unlock", shop.app).ok()
    shop.push().ok().says("v4 is live after")


def status(url: str) -> int:
    try:
        fetch(url)
    except AssertionError:
        return 503
    return 200
