"""Holds a network for builds: runs in a container of its own whose network the build's container joins, with the image's own Python.

One file, standard library only; nothing of gitreceive is in there. Standard input has one line of JSON:

    mode       "open" or "indexes"; or "addresses"
    allowed    [HOST or network, port or null] that may be reached
    refused    the same, of what may not be
    host       the Docker host's own addresses

It puts rules for what leaves into this network's own nf_tables, which a build has no right to change, answers one line of JSON
(``unknown``: names that lead nowhere; or ``error``) and stays until its input ends. Names are asked for again every minute. Asked for
``addresses``, it answers with those of the network that it runs in, and ends.
"""

import contextlib
import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Target = tuple[Network, int | None]  # with a port of TCP, or all of it
Rule = list[bytes]

# link-local, with the metadata addresses of most clouds; and those of AWS over IPv6, Alibaba, Oracle and Azure, which are not
_METADATA = (
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::/32",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
)
# RFC 6890 (special purpose), 4193 (unique local), 3879, 4291; not the documentation's, which nobody routes
_PRIVATE = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
_PRIVATE_6 = ("::/96", "::ffff:0:0/96", "64:ff9b:1::/48", "2001::/32", "fc00::/7", "fec0::/10", "ff00::/8")
_NAT64, _6TO4 = "64:ff9b::", "2002::"  # RFC 6052, 3056: IPv4 addresses stand in these
_DNS = 53
_EMBEDDED_DNS = "127.0.0.11"
_REFRESH = 60.0  # seconds
_FORGET = 3600.0
_HOSTS, _RESOLV = "/etc/hosts", "/etc/resolv.conf"
_MARK = "# hosts that builds may reach\n"


def main() -> int:
    asked = json.loads(sys.stdin.readline())
    if asked["mode"] == "addresses":
        _answer({"addresses": list(own_addresses())})
        return 0
    names = Names()
    try:
        apply(asked, names)
    except OSError as error:
        _answer({"error": f"{error.strerror or error} (nf_tables)"})
        return 1
    _answer({"unknown": names.unknown})
    while not select.select([0], [], [], _REFRESH)[0]:
        with contextlib.suppress(OSError):  # what was there stays in force
            apply(asked, names)
    return 0


def apply(asked: dict[str, Any], names: "Names") -> None:
    """Put the rules in force in one step, in place of those before. Raises OSError."""
    allowed = names.targets(asked["allowed"])
    refused = names.targets(asked["refused"])
    if asked["mode"] == "indexes":
        _pin(names.known(host for host, _ in asked["allowed"]))
        rules = indexes_rules(allowed)
    else:
        own = [ipaddress.ip_network(address) for address in asked["host"]]
        rules = open_rules(allowed, refused, [*own, *on_link()], nameservers())
    load(rules)


def open_rules(
    allowed: Iterable[Target], refused: Iterable[Target], own: Iterable[Network], dns: Iterable[Network]
) -> list[Rule]:
    """Everything but what is named here."""
    rules: list[Rule] = [[*_to_loopback(), _ACCEPT], *_neighbours()]
    for server in dns:
        rules += [[*_to(server), *_port(protocol, _DNS), _ACCEPT] for protocol in (_TCP, _UDP)]
    rules += [[*_to(network), _REJECT] for network in metadata_networks()]
    rules += [_to_target(target, _ACCEPT) for target in allowed]
    rules += [_to_target(target, _REJECT) for target in refused]
    rules += [[*_to(network), _REJECT] for network in (*own, *private_networks())]
    return rules


def indexes_rules(allowed: Iterable[Target]) -> list[Rule]:
    """Nothing but what is named here. Names are in /etc/hosts, so only root, which asks for them here, has any use of DNS."""
    embedded = ipaddress.ip_network(_EMBEDDED_DNS)
    return [
        [*_to_loopback(), *_to(embedded), _USER, _not_equal(bytes(4)), _REJECT],
        [*_to_loopback(), _ACCEPT],
        *_neighbours(),
        *([_USER, _equal(bytes(4)), *_port(protocol, _DNS), _ACCEPT] for protocol in (_TCP, _UDP)),
        *([*_to(network), _REJECT] for network in metadata_networks()),
        *(_to_target(target, _ACCEPT) for target in allowed),
        [_REJECT],
    ]


def metadata_networks() -> Iterator[Network]:
    return _with_embedded(_METADATA)


def private_networks() -> Iterator[Network]:
    return _with_embedded((*_PRIVATE, *_PRIVATE_6))


def _with_embedded(texts: Iterable[str]) -> Iterator[Network]:
    for network in map(ipaddress.ip_network, texts):
        yield network
        if isinstance(network, ipaddress.IPv4Network):
            yield _embedded(_NAT64, 96, network)
            yield _embedded(_6TO4, 16, network)


def _embedded(prefix: str, bits: int, inner: ipaddress.IPv4Network) -> ipaddress.IPv6Network:
    address = int(ipaddress.IPv6Address(prefix)) | int(inner.network_address) << (96 - bits)
    return ipaddress.IPv6Network((address, bits + inner.prefixlen))


class Names:
    """What names lead to: an address stays for an hour after it was last heard of, as a download may go on."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, float]] = {}
        self.unknown: list[str] = []

    def targets(self, places: Iterable[Sequence[Any]]) -> list[Target]:
        wanted = [(str(host), port) for host, port in places]
        names = {host for host, _ in wanted if not _is_network(host)}
        with ThreadPoolExecutor(8) as pool:
            for name, found in zip(names, pool.map(_addresses, names), strict=True):
                self._remember(name, found)
        return [
            (ipaddress.ip_network(address, strict=False), port)
            for host, port in wanted
            for address in ([host] if host not in names else self._seen[host])
        ]

    def known(self, hosts: Iterable[str]) -> dict[str, list[str]]:
        """Names to addresses, those that were heard of last."""
        return {
            host: [address for address, at in found.items() if at == max(found.values())]
            for host in hosts
            if (found := self._seen.get(host))
        }

    def _remember(self, name: str, found: Iterable[str]) -> None:
        now = time.monotonic()
        seen = self._seen.setdefault(name, {})
        seen.update(dict.fromkeys(found, now))
        for address in [address for address, at in seen.items() if at < now - _FORGET]:
            del seen[address]
        self.unknown = sorted(set(self.unknown) - {name} | (set() if seen else {name}))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _addresses(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(address[0]).partition("%")[0] for *_, address in found})


def _pin(names: dict[str, list[str]]) -> None:
    with open(_HOSTS, "r+", encoding="utf-8") as file:
        before = file.read().partition(_MARK)[0]
        lines = [f"{address} {name}\n" for name in sorted(names) for address in names[name]]
        file.seek(0)
        file.write(before + _MARK + "".join(lines))
        file.truncate()


def nameservers() -> list[Network]:
    """Those of resolv.conf(5). Docker's own asks others in turn from within this network: any, where it does not say which."""
    with open(_RESOLV, encoding="utf-8") as file:
        text = file.read()
    words = [line.split() for line in text.splitlines()]
    found = [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1]
    if _EMBEDDED_DNS in found:
        behind = text.partition("ExtServers: [")[2].partition("]")[0]
        outer = [word.removeprefix("host(").removesuffix(")") for word in behind.split()]
        found += outer or ["0.0.0.0/0", "::/0"]
    return [
        ipaddress.ip_network(word.partition("%")[0]) for word in found if _is_network(word.partition("%")[0])
    ]


def own_addresses() -> Iterator[str]:
    """Of this network's interfaces (proc(5): net/fib_trie, net/if_inet6)."""
    found: set[str] = set()
    with open("/proc/net/fib_trie", encoding="ascii") as file:
        last = ""
        for line in file:
            words = line.split()
            if words[:1] == ["|--"]:
                last = words[1]
            elif "host LOCAL" in line:
                found.add(last)
    with contextlib.suppress(OSError), open("/proc/net/if_inet6", encoding="ascii") as file:
        found |= {str(ipaddress.IPv6Address(int(line.split()[0], 16))) for line in file}
    yield from sorted(found)


def on_link() -> Iterator[Network]:
    """The networks that this one is attached to (proc(5), net/route; RFC 4291 for IPv6)."""
    with open("/proc/net/route", encoding="ascii") as file:
        for line in list(file)[1:]:
            _, destination, gateway, _, _, _, _, mask, *_ = line.split()
            if int(gateway, 16) == 0 and int(mask, 16):
                address, bits = (
                    socket.inet_ntoa(struct.pack("=I", int(word, 16))) for word in (destination, mask)
                )
                yield ipaddress.ip_network(f"{address}/{bits}")
    with contextlib.suppress(OSError), open("/proc/net/ipv6_route", encoding="ascii") as file:
        for line in file:
            destination, length, _, _, hop, *_, device = line.split()
            if int(hop, 16) == 0 and int(length, 16) and device != "lo":
                yield ipaddress.IPv6Network((int(destination, 16), int(length, 16)), strict=False)


# What follows makes messages of nf_tables (linux/netfilter/nf_tables.h, nfnetlink.h): one table with one chain, for what leaves.

_NETFILTER, _NF_TABLES = 12, 10
_INET, _IPV4, _IPV6 = 1, 2, 10
_TCP, _UDP, _ICMPV6 = 6, 17, 58
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 2, 3, 6
_BEGIN, _END = 0x10, 0x11
_REQUEST, _ACKNOWLEDGE, _CREATE, _APPEND = 1, 4, 0x400, 0x800
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_OUTPUT_HOOK, _ACCEPT_POLICY = 3, 1
_META_OUT, _META_USER, _META_FAMILY, _META_PROTOCOL = 5, 10, 15, 16
_EQUAL, _NOT_EQUAL, _AT_MOST, _AT_LEAST = 0, 1, 3, 5
_LOOPBACK = struct.pack("=I", 1)  # the loopback interface is the first of every network
_TABLE = "gitreceive"


def load(rules: Sequence[Rule]) -> None:
    """Raises OSError with the kernel's reason; then nothing has changed."""
    table = _text(1, _TABLE)
    hook = _nest(4, _number(1, _OUTPUT_HOOK), _number(2, 0))
    chain = (table, _text(3, "out"), hook, _number(5, _ACCEPT_POLICY), _text(7, "filter"))
    changes = [
        (_NEW_TABLE, _CREATE, (table,)),  # so that there is one to delete
        (_DELETE_TABLE, 0, (table,)),
        (_NEW_TABLE, _CREATE, (table,)),
        (_NEW_CHAIN, _CREATE, chain),
        *((_NEW_RULE, _CREATE | _APPEND, (table, _text(2, "out"), _nest(4, *rule))) for rule in rules),
    ]
    batch = [_message(_BEGIN, 0, 0, b"", batch=True)]
    for number, (kind, flags, attributes) in enumerate(changes, 1):
        batch.append(_message(kind, flags | _ACKNOWLEDGE, number, b"".join(attributes)))
    batch.append(_message(_END, 0, 0, b"", batch=True))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as kernel:
        kernel.bind((0, 0))
        kernel.settimeout(10)
        kernel.send(b"".join(batch))
        acknowledged = 0
        while acknowledged < len(changes):
            acknowledged += _acknowledged(kernel.recv(1 << 16))


def _acknowledged(answer: bytes) -> int:
    """How many changes it says were taken (netlink(7), NLMSG_ERROR). Raises OSError."""
    count = 0
    while answer:
        length, kind = struct.unpack_from("=IH", answer)
        (code,) = struct.unpack_from("=i", answer, 16) if kind == 2 else (0,)
        if code:
            raise OSError(-code, os.strerror(-code))
        count += kind == 2
        answer = answer[(length + 3) & ~3 :]
    return count


def _message(kind: int, flags: int, number: int, attributes: bytes, *, batch: bool = False) -> bytes:
    family, resource = (0, _NF_TABLES) if batch else (_INET, 0)
    body = struct.pack(">BBH", family, 0, resource) + attributes
    full_kind = kind if batch else _NF_TABLES << 8 | kind
    return struct.pack("=IHHII", 16 + len(body), full_kind, flags | _REQUEST, number, 0) + body


def _attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


def _nest(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | 0x8000, b"".join(parts))


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack(">I", number))


def _expression(name: str, *attributes: bytes) -> bytes:
    return _nest(1, _text(1, name), _nest(2, *attributes))


def _meta(key: int) -> bytes:
    return _expression("meta", _number(2, key), _number(1, 1))


def _payload(header: int, offset: int, length: int) -> bytes:
    return _expression("payload", _number(1, 1), _number(2, header), _number(3, offset), _number(4, length))


def _masked(mask: bytes) -> bytes:
    zero = _nest(5, _attribute(1, bytes(len(mask))))
    return _expression(
        "bitwise", _number(1, 1), _number(2, 1), _number(3, len(mask)), _nest(4, _attribute(1, mask)), zero
    )


def _compare(how: int, content: bytes) -> bytes:
    return _expression("cmp", _number(1, 1), _number(2, how), _nest(3, _attribute(1, content)))


def _equal(content: bytes) -> bytes:
    return _compare(_EQUAL, content)


def _not_equal(content: bytes) -> bytes:
    return _compare(_NOT_EQUAL, content)


_USER = _meta(_META_USER)
_ACCEPT = _expression("immediate", _number(1, 0), _nest(2, _nest(2, _number(1, 1))))
# ICMP's "administratively prohibited", for either family: who asked sees "No route to host" at once
_REJECT = _expression("reject", _number(1, 2), _attribute(2, b"\x03"))


def _to_loopback() -> Rule:
    return [_meta(_META_OUT), _equal(_LOOPBACK)]


def _to(network: Network) -> Rule:
    family, offset, length = (_IPV4, 16, 4) if network.version == 4 else (_IPV6, 24, 16)
    match = [_meta(_META_FAMILY), _equal(bytes([family]))]
    if network.prefixlen == 0:
        return match
    match.append(_payload(_NETWORK_HEADER, offset, length))
    if network.prefixlen < network.max_prefixlen:
        match.append(_masked(network.netmask.packed))
    return [*match, _equal(network.network_address.packed)]


def _port(protocol: int, port: int) -> Rule:
    where = _payload(_TRANSPORT_HEADER, 2, 2)
    return [_meta(_META_PROTOCOL), _equal(bytes([protocol])), where, _equal(struct.pack(">H", port))]


def _to_target(target: Target, verdict: bytes) -> Rule:
    network, port = target
    return [*_to(network), *(_port(_TCP, port) if port else []), verdict]


def _neighbours() -> list[Rule]:
    """Neighbour discovery (RFC 4861), without which nothing of IPv6 works; only the kernel itself sends these."""
    kind = [
        _payload(_TRANSPORT_HEADER, 0, 1),
        _compare(_AT_LEAST, bytes([133])),
        _compare(_AT_MOST, bytes([136])),
    ]
    return [[_meta(_META_PROTOCOL), _equal(bytes([_ICMPV6])), *kind, _ACCEPT]]


def _answer(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
