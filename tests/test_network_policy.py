"""Who may speak with an app's pods."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from gitreceive.config import KubernetesSettings, Settings
from gitreceive.engines.kubernetes_target.networks import read_networks
from gitreceive.errors import ConfigError
from gitreceive.manifests.network_policy import Networks
from gitreceive.manifests.rendering import ClusterApi, render, render_once, to_yaml
from gitreceive.manifests.templating import Manifest
from gitreceive.model import ProcessType
from tests.test_manifests import a_release

GOLDEN = Path(__file__).parent / "golden" / "kubernetes"
NETWORKS = Networks(("10.244.0.0/24", "fd00:10:244::/64"), ("10.96.0.1", "172.18.0.2", "fd00::2"))
CLUSTER = ClusterApi(networks=NETWORKS)


def with_policy(way: str, **more: Any) -> Settings:
    return Settings(kubernetes=KubernetesSettings(network_policy=way, **more))


def policies_of(way: str, networks: Networks = NETWORKS) -> tuple[Manifest, Manifest]:
    """Of the app's own pods, and of those that operators run for it."""
    objects = render(a_release(), with_policy(way), ClusterApi(networks=networks))
    own, services = (item for item in objects if item["kind"] == "NetworkPolicy")
    return own, services


def policy_of(way: str, networks: Networks = NETWORKS) -> Manifest:
    return policies_of(way, networks)[0]


def reaches(rules: list[dict[str, Any]], address: str) -> bool:
    """Whether one of the rules' blocks has the address: by the network alone, whatever pod has it."""
    peers = [
        peer["ipBlock"]
        for rule in rules
        for peer in rule.get("to", rule.get("from", ()))
        if "ipBlock" in peer
    ]
    return any(_within(address, block) for block in peers)


def _within(address: str, block: Mapping[str, Any]) -> bool:
    wanted = ip_address(address)
    return wanted in ip_network(block["cidr"]) and not any(
        wanted in ip_network(e) for e in block.get("except", ())
    )


@pytest.mark.parametrize("way", ["ingress", "strict"])
def test_a_policy_is_what_was_agreed_on(way: str) -> None:
    assert to_yaml(policies_of(way)) == (GOLDEN / f"network_policy_{way}.yaml").read_text()


def test_without_the_setting_there_is_none() -> None:
    assert not [i for i in render(a_release(), Settings(), CLUSTER) if i["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize("way", ["ingress", "strict"])
def test_it_is_there_before_anything_runs_and_the_same_for_what_runs_once(way: str) -> None:
    objects = render(a_release(), with_policy(way), CLUSTER)
    once = render_once(a_release(), ProcessType("release"), "r-1", with_policy(way), None, CLUSTER)
    kinds = [item["kind"] for item in objects]
    assert kinds.index("NetworkPolicy") < min(kinds.index("Deployment"), kinds.index("Service"))
    assert [i for i in once if i["kind"] == "NetworkPolicy"] == list(policies_of(way))


@pytest.mark.parametrize("way", ["ingress", "strict"])
def test_every_pod_of_the_app_is_under_its_policy_and_those_of_services_are_reached_by_their_operator(
    way: str,
) -> None:
    own, services = (policy["spec"] for policy in policies_of(way))
    label = {"app.kubernetes.io/managed-by": "gitreceive"}
    assert own["podSelector"] == {"matchLabels": label}
    once = render_once(a_release(), ProcessType("release"), "r-1", with_policy(way), None, CLUSTER)[-1]
    deployments = [i for i in render(a_release(), with_policy(way), CLUSTER) if i["kind"] == "Deployment"]
    for pod in (once, *(item["spec"]["template"] for item in deployments)):
        assert label.items() <= pod["metadata"]["labels"].items()
    not_ours = [{"key": "app.kubernetes.io/managed-by", "operator": "NotIn", "values": ["gitreceive"]}]
    assert services["podSelector"] == {"matchExpressions": not_ours}
    assert services["policyTypes"] == ["Ingress"]
    reached_from = [{"podSelector": {}}, {"namespaceSelector": {"matchExpressions": not_ours}}]
    assert services["ingress"] == [{"from": reached_from}]


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.5", "2001:db8::1"])
def test_what_is_outside_of_the_pods_networks_reaches_web_alone(address: str) -> None:
    own, others = policy_of("ingress")["spec"]["ingress"]
    assert own == {"from": [{"podSelector": {}}]}
    assert others["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert reaches([others], address)
    assert "egress" not in policy_of("ingress")["spec"]


@pytest.mark.parametrize("address", ["10.244.0.9", "fd00:10:244::9"])
def test_another_apps_pod_reaches_nothing_and_is_not_reached(address: str) -> None:
    spec = policy_of("strict")["spec"]
    assert not reaches(spec["ingress"], address)
    assert not reaches(spec["egress"], address)
    selectors = [
        peer["namespaceSelector"]
        for rule in spec["egress"]
        for peer in rule.get("to", ())
        if "namespaceSelector" in peer
    ]
    assert selectors == [
        {
            "matchExpressions": [
                {"key": "app.kubernetes.io/managed-by", "operator": "NotIn", "values": ["gitreceive"]}
            ]
        }
    ]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fe80::1",
        "10.96.0.1",
        "172.18.0.2",
        "fd00::2",
    ],
)
def test_metadata_and_the_api_server_are_not_reached(address: str) -> None:
    assert not reaches(policy_of("strict")["spec"]["egress"], address)


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.5", "2001:db8::1", "10.96.0.10"])
def test_all_else_is_reached_and_names_are_resolved_anywhere(address: str) -> None:
    egress = policy_of("strict")["spec"]["egress"]
    assert reaches(egress, address)
    assert egress[-1] == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


class Cluster:
    def __init__(self, nodes: list[dict[str, Any]]) -> None:
        self.nodes = nodes

    def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        assert (name, namespace) == ("kubernetes", "default")
        if kind == "Service":
            return {"spec": {"clusterIP": "10.96.0.1"}}
        return {"subsets": [{"addresses": [{"ip": "172.18.0.2"}, {"ip": "172.18.0.3"}]}]}

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> Manifest:
        assert kind == "Node"
        return {"items": self.nodes}

    def serves(self, kind: str) -> bool:
        raise AssertionError

    def api_version(self, kind: str) -> str:
        raise AssertionError


NODES: list[dict[str, Any]] = [
    {"spec": {"podCIDR": "10.244.1.0/24"}},
    {"spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00::/64"]}},
    {},
]


def test_the_cluster_says_itself_where_its_pods_and_its_api_are() -> None:
    cluster = Cluster(NODES)
    settings = KubernetesSettings(network_policy="strict")
    pods = ("10.244.0.0/24", "10.244.1.0/24", "fd00::/64")
    assert read_networks(cluster, settings) == Networks(pods, ("10.96.0.1", "172.18.0.2", "172.18.0.3"))
    assert read_networks(cluster, replace(settings, network_policy="ingress")) == Networks(pods)
    assert read_networks(cluster, replace(settings, network_policy="none")) == Networks()
    named = replace(settings, network_policy="ingress", pod_networks=("10.1.0.0/16",))
    assert read_networks(cluster, named) == Networks(("10.1.0.0/16",))


def test_a_network_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError, match=r"'10.1' is no network"):
        policy_of("ingress", Networks(("10.1",)))
