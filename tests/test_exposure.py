"""What leads people to an app, without a cluster: by each way, and what nobody but the operator can say."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.config import KubernetesSettings, Settings, load
from gitreceive.errors import ConfigError, UsageError
from gitreceive.manifests.exposure import Exposing, notes
from gitreceive.manifests.rendering import ClusterApi, render, to_yaml
from gitreceive.manifests.templating import Manifest
from gitreceive.model import (
    MOST_DOMAINS,
    AppName,
    AppSettings,
    Certificate,
    CertificateFacts,
    Domain,
    Release,
    Routing,
    Secret,
)
from tests.test_manifests import a_release

GOLDEN = Path(__file__).parent / "golden" / "exposure"
SHOP = AppName("shop")
FACTS = CertificateFacts((Domain("shop.example.com"),), datetime(2030, 1, 2, tzinfo=UTC))
BROUGHT = Certificate("ab" * 32, FACTS, "-----the chain-----\n", Secret("-----the key-----\n"))
DOMAINS = (Domain("*.shop.example.com"), Domain("shop.example.com"))
FULL = Routing(DOMAINS, https=True, certificates={BROUGHT.fingerprint: FACTS})
PLAIN = Routing((Domain("shop.example.com"),))
GATEWAY = Exposing(gateway_api="gateway.networking.k8s.io/v1", gateway_timeouts=True)
OPENSHIFT = Exposing(route_api="route.openshift.io/v1")


def settings(domain: str = "apps.example.com", **kubernetes: Any) -> Settings:
    return Settings(domain=domain, kubernetes=KubernetesSettings(**kubernetes))


def a_routed(routing: Routing) -> Release:
    return a_release(settings=AppSettings(routing=routing))


def ways(routing: Routing, given: Settings, exposing: Exposing = Exposing()) -> tuple[Manifest, ...]:  # noqa: B008
    """The Service and all that leads to it."""
    brought = {BROUGHT.fingerprint: BROUGHT}
    objects = render(a_routed(routing), given, ClusterApi(exposing=exposing), None, brought)
    kinds = {"Service", "Ingress", "HTTPRoute", "Route"}
    return tuple(item for item in objects if item["kind"] in kinds or item.get("type") == "kubernetes.io/tls")


CASES = {
    "ingress_tls": (FULL, settings(ingress_class="nginx"), Exposing()),
    "ingress_auto": (replace(PLAIN, auto=True), settings(cert_issuer="letsencrypt"), Exposing()),
    "ingress_v1beta1": (
        FULL,
        settings(ingress_class="nginx"),
        Exposing(ingress_api="networking.k8s.io/v1beta1"),
    ),
    "gateway": (PLAIN, settings(gateway="edge/public"), GATEWAY),
    "gateway_https": (
        FULL,
        settings(gateway="edge/public", gateway_https="tls"),
        Exposing(gateway_api="gateway.networking.k8s.io/v1beta1"),
    ),
    "route": (FULL, settings(), OPENSHIFT),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_is_what_was_agreed_on(case: str) -> None:
    assert to_yaml(ways(*CASES[case])) == (GOLDEN / f"{case}.yaml").read_text()


@pytest.mark.parametrize("case", CASES)
def test_a_plan_shows_no_key(case: str) -> None:
    assert "the key" not in to_yaml(ways(*CASES[case]))


@pytest.mark.parametrize(
    ("given", "exposing", "expected"),
    [
        (settings(), Exposing(), {"Ingress"}),
        (settings(), Exposing(ingress_classes=False), set()),
        (settings(ingress_class="nginx"), Exposing(ingress_classes=False), {"Ingress"}),
        (settings(), GATEWAY, {"Ingress"}),
        (settings(gateway="edge/public"), GATEWAY, {"HTTPRoute"}),
        (settings(gateway="edge/public"), Exposing(), {"Ingress"}),
        (settings(), OPENSHIFT, {"Route"}),
        (settings(expose="ingress"), OPENSHIFT, {"Ingress"}),
        (settings(expose="nodeport"), OPENSHIFT, set()),
        (settings(expose="none"), Exposing(), set()),
    ],
)
def test_the_way_is_the_operators_or_by_what_the_cluster_serves(
    given: Settings, exposing: Exposing, expected: set[str]
) -> None:
    assert {item["kind"] for item in ways(PLAIN, given, exposing)} - {"Service"} == expected


def test_an_app_without_a_host_has_a_node_port_and_keeps_it_beside_its_first_domain() -> None:
    (service,) = ways(Routing(), settings(domain=""))
    assert service["spec"]["type"] == "NodePort"
    service, ingress = ways(PLAIN, settings(domain=""))
    assert service["spec"]["type"] == "NodePort"
    assert service["metadata"]["annotations"] == {"gitreceive/url": "http://shop.example.com"}
    assert ingress["spec"]["rules"][0]["host"] == "shop.example.com"
    assert ways(PLAIN, settings())[0]["spec"]["type"] == "ClusterIP"


def test_a_wildcard_is_nobodys_address() -> None:
    (service, _) = ways(Routing((Domain("*.example.com"),)), settings(domain=""))
    assert "annotations" not in service["metadata"]


def test_more_hosts_than_one_route_takes_are_several() -> None:
    many = Routing(tuple(Domain(f"h{number}.example.com") for number in range(20)))
    routes = [
        item for item in ways(many, settings(gateway="edge/public"), GATEWAY) if item["kind"] == "HTTPRoute"
    ]
    assert [(item["metadata"]["name"], len(item["spec"]["hostnames"])) for item in routes] == [
        ("web", 16),
        ("web-2", 5),
    ]


def test_a_controllers_own_certificate_serves_where_none_was_brought() -> None:
    _, ingress = ways(replace(PLAIN, https=True), settings(domain=""))
    assert ingress["spec"]["tls"] == [{"hosts": ["shop.example.com"]}]
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/ssl-redirect"] == "true"


def test_the_operator_has_the_last_word_on_annotations() -> None:
    mine = {"haproxy.org/timeout-server": "5s", "example.com/team": "{{ x }}"}
    _, ingress = ways(PLAIN, settings(domain="", ingress_annotations=mine))
    assert mine.items() <= ingress["metadata"]["annotations"].items()


@pytest.mark.parametrize(
    ("routing", "given", "said"),
    [
        (Routing(), settings(domain="", expose="ingress"), "has no host"),
        (PLAIN, settings(expose="gateway"), "kubernetes.gateway is ''"),
        (PLAIN, settings(expose="gateway", gateway="public"), "kubernetes.gateway is 'public'"),
        (replace(PLAIN, auto=True), settings(), "kubernetes.cert_issuer is empty"),
    ],
)
def test_what_the_settings_lack_is_said(routing: Routing, given: Settings, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        ways(routing, given)
    assert error.value.hint


def test_what_does_nothing_here_is_told() -> None:
    def told(routing: Routing, given: Settings, exposing: Exposing) -> str:
        return "\n".join(notes(a_routed(routing), given, exposing))

    assert "its listeners have the certificates" in told(FULL, settings(gateway="edge/public"), GATEWAY)
    assert "nothing leads shop.example.com" in told(PLAIN, settings(), Exposing(ingress_classes=False))
    assert told(FULL, settings(), Exposing()) == ""


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_nothing_but_a_host_name_becomes_one(text: str) -> None:
    try:
        domain = Domain.parse(text)
    except UsageError:
        return
    assert Domain.parse(domain) == domain
    assert not set(domain) - set("*.-abcdefghijklmnopqrstuvwxyz0123456789")
    assert len(domain) <= 255


def test_an_app_has_no_more_domains_than_a_cluster_should_be_asked_for() -> None:
    names: dict[str, object] = {f"h{number}.example.com": {} for number in range(MOST_DOMAINS + 1)}
    with pytest.raises(UsageError, match=f"at most {MOST_DOMAINS} domains"):
        Routing.parse({"domains": names})


@pytest.mark.parametrize("text", ["Apps.example.com", "*.example.com", "example", "http://example.com"])
def test_the_servers_own_domain_is_one(text: str) -> None:
    with pytest.raises(ConfigError, match="GITRECEIVE_DOMAIN is"):
        load({"GITRECEIVE_DOMAIN": text})
