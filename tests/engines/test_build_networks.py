"""What the networks of builds are told, and the order of their rules; builder/test_egress.py tries them from inside."""

import ipaddress
from pathlib import Path

import pytest

from gitreceive.addresses import is_public
from gitreceive.config import BuildSettings
from gitreceive.engines.build_networks import GuardedNetworks, Place, inside, of_url
from gitreceive.engines.build_networks.places import named, parse_place
from gitreceive.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mirror.example.com", Place("mirror.example.com", None)),
        ("Mirror.example.com:8443", Place("mirror.example.com", 8443)),
        ("10.2.3.4/16", Place("10.2.0.0/16", None)),
        ("10.2.3.4:80", Place("10.2.3.4", 80)),
        ("[fd00::1]:443", Place("fd00::1", 443)),
        ("fd00::/8", Place("fd00::/8", None)),
    ],
)
def test_a_place_is_a_host_with_or_without_a_port_or_a_network(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text", ["*.example.com", "https://x/", "user@host", "host:port", "host:99999", "a/b", ""]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no place"):
        parse_place(text)


def test_urls_in_variables_name_places_with_their_ports() -> None:
    env = {
        "PIP_INDEX_URL": "https://ci:pw@mirror.example.com/simple",
        "PIP_EXTRA_INDEX_URL": "http://a.example:81/x https://b.example/y",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "WORD": "no url",
        "BROKEN": "http://[x",
    }
    assert named(BuildSettings(env=env, egress_hosts=("10.0.0.0/8",))) == (
        Place("10.0.0.0/8", None),
        Place("mirror.example.com", 443),
        Place("a.example", 81),
        Place("b.example", 443),
        Place("proxy.example", 3128),
    )
    assert of_url("no") is None


def test_a_mistake_in_the_settings_is_told_before_any_build(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="egress_hosts"):
        GuardedNetworks(BuildSettings(egress_hosts=("*",)), tmp_path)


def test_what_is_private_is_what_is_not_of_the_internet() -> None:
    refused = [*inside.private_networks(), *inside.metadata_networks()]
    private = "10.1.2.3 172.16.0.1 192.168.9.9 100.64.0.1 127.0.0.2 0.0.0.0 224.0.0.1 255.255.255.255 198.18.0.1 169.254.169.254"
    private += " fd12::1 fe80::1 ::1 ::ffff:10.0.0.1 64:ff9b::a9fe:a9fe 2002:a00:1:: ff02::1 fec0::1 192.0.0.192 168.63.129.16 2001:0:1::"
    for text in private.split():
        address = ipaddress.ip_address(text)
        assert not is_public(address), text
        assert any(address in network for network in refused if network.version == address.version), text
    for text in (
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ):
        address = ipaddress.ip_address(text)
        assert not any(address in network for network in refused if network.version == address.version), text


def _rules(*rules: list[bytes]) -> list[bytes]:
    return [b"".join(rule) for rule in rules]


def test_metadata_comes_before_what_is_named_and_that_before_what_is_refused() -> None:
    index = (ipaddress.ip_network("10.1.1.1"), 443)
    registry = (ipaddress.ip_network("198.51.100.7"), 5000)
    own = ipaddress.ip_network("198.51.100.8")
    rules = _rules(*inside.open_rules([index], [registry], [own], [ipaddress.ip_network("10.0.0.2")]))
    accept, reject = inside._ACCEPT, inside._REJECT
    dns, metadata, named_, refused, host, private = (
        rules.index(b"".join(rule))
        for rule in (
            inside._to_target((ipaddress.ip_network("10.0.0.2"), 53), accept),
            inside._to_target((ipaddress.ip_network("169.254.0.0/16"), None), reject),
            inside._to_target(index, accept),
            inside._to_target(registry, reject),
            inside._to_target((own, None), reject),
            inside._to_target((ipaddress.ip_network("10.0.0.0/8"), None), reject),
        )
    )
    assert dns < metadata < named_ < refused < host < private


def test_with_indexes_the_last_word_is_no() -> None:
    rules = inside.indexes_rules([(ipaddress.ip_network("198.51.100.7"), 443)])
    assert rules[-1] == [inside._REJECT]
    assert sum(rule == [inside._REJECT] for rule in rules) == 1


def test_addresses_and_networks_of_proc_are_read(tmp_path: Path) -> None:
    names = inside.Names()
    assert names.targets([["10.0.0.0/8", None], ["10.1.1.1", 80]]) == [
        (ipaddress.ip_network("10.0.0.0/8"), None),
        (ipaddress.ip_network("10.1.1.1/32"), 80),
    ]
    assert names.unknown == []
