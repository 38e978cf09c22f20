"""What an app keeps in a volume, and what it is bound to."""

import os
import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.certificates import issue
from tests.e2e.world import Clone, Developer, Server, fetch, wait_until
from tests.engines.cluster_volumes import core, host_volume
from tests.own_cluster.aggregated_api import AggregatedApi, serving
from tests.own_cluster.played_operators import CLOUDNATIVE_PG, URI, PlayedOperators

pytestmark = pytest.mark.e2e

_APP = """import os, signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEPT = Path("/data/kept")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        place, _, word = self.path[1:].partition("/")
        if place == "keep":
            KEPT.write_text((KEPT.read_text() if KEPT.exists() else "") + word)
        told = os.environ.get(word, "-") if place == "env" else KEPT.read_text() if KEPT.exists() else "nothing"
        body = told.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
_URL = "postgres://shop:canary@db.example.com/shop"


@pytest.fixture
def shop(alice: Developer) -> Iterator[Clone]:
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "procfile-worker")
    shop.commit("Keep what is said", {"app.py": _APP, "Procfile": "web: python3 app.py\n"})
    shop.push().ok().says("v1 is live after")
    yield shop
    alice.server.let_go(shop.app)


def test_what_is_in_a_volume_stays_until_it_is_destroyed(
    shop: Clone, alice: Developer, server: Server, tmp_path: Path
) -> None:
    url, app = shop.web(), shop.app
    space = f"t{server.ssh_port}-{app}"
    on_cluster = server.target == "kubernetes"
    with host_volume(space, "uploads", tmp_path / "uploads") if on_cluster else nullcontext():
        said = alice.ssh("volumes", "add", app, "uploads", "--mount", "/data").ok()
        said.says("one process of web has it at a time", "v2 is live after")
        wait_until(lambda: fetch(url + "/keep/one") == "one", "the app writes into its volume")
        alice.ssh("ps", "scale", app, "web=2").failed().says(
            "volume uploads is mounted by one process at a time"
        )
        alice.ssh("services", "bind", app, "DATABASE_URL", "--stdin", stdin=_URL).ok().does_not_say("canary")
        assert fetch(url + "/env/DATABASE_URL") == _URL
        bind_secret(shop, alice, space, on_cluster=on_cluster)
        assert fetch(url + "/keep/two") == "onetwo"
        listed = alice.ssh("volumes", "list", app, "--json").ok().json()
        assert [(row["name"], row["mount"]) for row in listed] == [("uploads", "/data")]
        alice.ssh("rollback", app, "v1").ok()
        wait_until(lambda: fetch(url + "/") == "nothing", "the first release has no volume")
        alice.ssh("volumes", "list", app).ok().says("uploads", "detached")
        alice.ssh("volumes", "remove", app, "uploads", "--destroy").failed().says("--confirm uploads")
        alice.ssh("volumes", "remove", app, "uploads", "--destroy", "--confirm", "uploads").ok().says(
            "is gone"
        )
        provision(shop, alice, on_cluster=on_cluster)
        gone = lambda: alice.ssh("volumes", "list", app, "--json").ok().json() == []  # noqa: E731
        wait_until(gone, "the volume is gone")


def provision(shop: Clone, alice: Developer, *, on_cluster: bool) -> None:
    create = ("services", "create", shop.app, "postgresql", "db")
    if not on_cluster:
        alice.ssh(*create).failed().says("the docker target makes no services")
        return
    url = f"{shop.web()}/env/DATABASE_URL"
    config, authority = Path(os.environ["KUBECONFIG"]), issue(name="tests")
    operators = PlayedOperators(config)
    operators.go_on.set()
    with serving(AggregatedApi((CLOUDNATIVE_PG,), operators), config, authority):
        said = alice.ssh(*create, "--size", "2Gi").ok().does_not_say("canary")
        said.says("Making PostgreSQL db, by CloudNativePG", "db is ready", "bind service db", "is live after")
        assert fetch(url) == URI
        alice.ssh(*create).ok().says("Going on with", "Nothing to do")
        alice.ssh("services", "destroy", shop.app, "db").failed().says("with what is stored in it (2Gi)")
        alice.ssh("services", "destroy", shop.app, "db", "--confirm", "db").ok().says(
            "is live after", "is gone"
        )
        assert fetch(url) == "-"


def bind_secret(shop: Clone, alice: Developer, space: str, *, on_cluster: bool) -> None:
    bind = ("services", "bind", shop.app, "--secret", "shop-postgres", "--prefix", "PG_")
    if not on_cluster:
        alice.ssh(*bind).failed().says("the docker target has no Secrets")
        return
    alice.ssh(*bind).failed().says("there is no Secret shop-postgres", f"--namespace {space}")
    body = {"metadata": {"name": "shop-postgres"}, "stringData": {"HOST": "db.example.com"}}
    core().create_namespaced_secret(space, body)
    alice.ssh(*bind).ok().says("bind Secret shop-postgres", "is live after")
    assert fetch(shop.web() + "/env/PG_HOST") == "db.example.com"
    listed = alice.ssh("services", "list", shop.app, "--json").ok().json()
    assert [row["variables"] for row in listed] == [["DATABASE_URL"], ["PG_HOST"]]
