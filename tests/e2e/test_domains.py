"""Hosts lead to apps, over HTTPS too, with no process started anew and no request dropped."""

import http.client
import secrets
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from gitreceive.engines.kubernetes_target.api import Api
from tests.certificates import issue
from tests.e2e.requests import Requests
from tests.e2e.world import Server, free_ports, running, wait_until

pytestmark = pytest.mark.e2e


@pytest.mark.docker
def test_one_door_leads_each_host_to_its_app(make_server: Callable[..., Server]) -> None:
    plain, secure = free_ports(2)
    made = make_server(
        "docker",
        GITRECEIVE_DOMAIN="apps.test",
        GITRECEIVE_DOCKER_HTTP_LISTEN=f"127.0.0.1:{plain}",
        GITRECEIVE_DOCKER_HTTPS_LISTEN=f"127.0.0.1:{secure}",
    )
    root = issue(name="root")
    issued = issue("shop.test", by=root)

    def ask(host: str) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", plain, timeout=10)) as connection:
            connection.request("GET", "/", headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location") or answer.read().decode()

    def ask_securely() -> str:
        context = ssl.create_default_context(cadata=root.pem)
        with closing(_Named(secure, context)) as connection:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()

    with running(made) as server:
        alice, bob = server.developer("alice"), server.developer("bob")
        shop = alice.creates(f"shop-{secrets.token_hex(3)}", "flask")
        alice.ssh("domains", "add", shop.app, "shop.test").ok().says("Kept for the first release")
        shop.push().ok().says("is live after", f"http://{shop.app}.apps.test:{plain}", "and at shop.test")
        assert ask(f"{shop.app}.apps.test") == ask("shop.test") == (200, "Hello from Flask, version 1\n")
        assert ask("www.shop.test")[0] == 404

        bob.ssh("apps", "create", "blog").ok()
        bob.ssh("domains", "add", "blog", "shop.test").failed().says("taken by another app").does_not_say(
            shop.app
        )
        before = alice.ssh("ps", "--app", shop.app, "--json").ok().json()
        with Requests(f"http://127.0.0.1:{_own_port(server)}/") as requests:
            alice.ssh("domains", "add", "www.shop.test", "--app", shop.app).ok().says("v1 serves as before")
            said = alice.ssh("certs", "add", shop.app, stdin=issued.pem + issued.key_pem).ok()
            alice.ssh("domains", "https", shop.app, "on").ok()
        assert requests.failures == []
        said.does_not_say("PRIVATE")
        assert ask("www.shop.test")[0] == 200
        assert ask_securely() == "Hello from Flask, version 1\n"
        assert ask("shop.test") == (301, f"https://shop.test:{secure}/")
        after = alice.ssh("ps", "--app", shop.app, "--json").ok().json()
        assert [_instances(each) for each in after["processes"]] == [
            _instances(each) for each in before["processes"]
        ]
        info = alice.ssh("apps", "info", shop.app, "--json").ok().json()
        assert (info["domains"], info["https_only"]) == (["shop.test", "www.shop.test"], True)

        server.stop()
        server.start()
        wait_until(lambda: ask("www.shop.test")[0] == 200, "the restarted server knows its hosts")
        assert ask_securely() == "Hello from Flask, version 1\n"
        alice.ssh("domains", "remove", shop.app, "www.shop.test").ok()
        assert ask("www.shop.test")[0] == 404
        server.cli("apps", "destroy", shop.app, "--confirm", shop.app).ok()
        bob.ssh("domains", "add", "blog", "shop.test").ok()


@pytest.mark.kubernetes
def test_hosts_and_certificates_are_in_the_clusters_own_objects(make_server: Callable[..., Server]) -> None:
    made = make_server("kubernetes", GITRECEIVE_DOMAIN="apps.test", GITRECEIVE_KUBERNETES_EXPOSE="ingress")
    issued = issue("shop.test")
    with running(made) as server:
        alice = server.developer("alice")
        shop = alice.creates(f"shop-{secrets.token_hex(3)}", "flask")
        space = f"t{server.ssh_port}-{shop.app}"
        shop.push().ok().says("is live after", f"http://{shop.app}.apps.test")
        alice.ssh("domains", "add", shop.app, "shop.test").ok().says("v1 serves as before")
        alice.ssh("certs", "add", shop.app, stdin=issued.pem + issued.key_pem).ok()
        alice.ssh("domains", "https", shop.app, "on").ok()
        spec = _ingress(space)["spec"]
        assert [rule["host"] for rule in spec["rules"]] == [f"{shop.app}.apps.test", "shop.test"]
        (certificate,) = [each for each in spec["tls"] if "secretName" in each]
        assert certificate["hosts"] == ["shop.test"]
        assert Api().get("Secret", certificate["secretName"], space)
        assert shop.web() == f"https://{shop.app}.apps.test"
        alice.ssh("domains", "remove", shop.app, "shop.test").ok()
        assert [rule["host"] for rule in _ingress(space)["spec"]["rules"]] == [f"{shop.app}.apps.test"]
        assert Api().get("Secret", certificate["secretName"], space) is None


def _ingress(space: str) -> Any:
    found = Api().get("Ingress", "web", space)
    assert found
    return found


def _own_port(server: Server) -> int:
    return int(server.env["GITRECEIVE_DOCKER_FIRST_PORT"])


class _Named(http.client.HTTPSConnection):
    """To shop.test, wherever that is."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__("shop.test", port, context=context, timeout=10)
        self._inner = context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.sock = self._inner.wrap_socket(plain, server_hostname="shop.test")


def _instances(process: dict[str, Any]) -> list[str]:
    return [instance["instance"] for instance in process["instances"]]
