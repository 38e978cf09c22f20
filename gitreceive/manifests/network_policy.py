"""Who may speak with an app's pods, and whom they may speak with, as a NetworkPolicy has it. Pure.

What is promised holds where the cluster's network enforces NetworkPolicy: the API takes one in any case.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gitreceive.errors import ConfigError

NONE, INGRESS, STRICT = "none", "ingress", "strict"

_EVERYWHERE = ("0.0.0.0/0", "::/0")
# Where clouds tell machines who they are, and give them credentials: link-local (RFC 3927, RFC 4291), and what some have beside it.
_METADATA = (
    *("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
    *("fe80::/10", "fd00:ec2::254/128"),
)
_DNS = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
_WEB = [{"port": "http", "protocol": "TCP"}]  # by name: the page of maintenance has a port of its own


@dataclass(frozen=True)
class Networks:
    """``pods``: where pods have their addresses. ``api_servers``: the addresses of the cluster's API."""

    pods: tuple[str, ...] = ()
    api_servers: tuple[str, ...] = ()


def policy_values(way: str, networks: Networks, others: dict[str, str]) -> dict[str, Any]:
    """For the templates. ``others`` are the labels by which the namespaces of apps are known, whose pods are kept apart, and the pods that
    gitreceive runs. All other pods of a namespace are those of services: their operator has to reach them, and they the API server.

    Raises ConfigError where a network is none.
    """
    own: dict[str, Any] = {"podSelector": {}}
    not_ours = {
        "matchExpressions": [
            {"key": key, "operator": "NotIn", "values": [value]} for key, value in others.items()
        ]
    }
    strangers = {"namespaceSelector": not_ours}
    services = {"services_selector": not_ours, "services_ingress": [{"from": [own, strangers]}]}
    ingress = [
        {"from": [own]},
        {"from": [strangers, *_blocks(networks.pods)], "ports": _WEB},
    ]
    common = {"selector": {"matchLabels": others}, "ingress": ingress, **services}
    if way == INGRESS:
        return {**common, "types": ["Ingress"], "egress": None}
    forbidden = (*networks.pods, *networks.api_servers, *_METADATA)
    egress = [{"to": [own, strangers, *_blocks(forbidden)]}, {"ports": _DNS}]
    return {**common, "types": ["Ingress", "Egress"], "egress": egress}


def _blocks(without: Iterable[str]) -> list[dict[str, Any]]:
    """Every address, but for some networks."""
    left_out = sorted(set(map(_network, without)))
    return [
        {"ipBlock": {"cidr": block, "except": _of_family(left_out, block) or None}} for block in _EVERYWHERE
    ]


def _of_family(networks: Iterable[str], block: str) -> list[str]:
    return [each for each in networks if (":" in each) == (":" in block)]


def _network(text: str) -> str:
    """An address alone is a network of one."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ConfigError(
            f"{text!r} is no network", hint="kubernetes.pod_networks are such as 10.244.0.0/16"
        ) from None
