"""Which addresses are of the Internet: what users name is reached only there, unless an operator allows more."""

import ipaddress
from collections.abc import Iterable

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# IETF protocol assignments (RFC 6890), among them a cloud's metadata; and another cloud's, which looks like one of the Internet
_SPECIAL = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("168.63.129.16/32"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """Whether it is an ordinary address of the Internet, also where it stands for another."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if (
            address.teredo is not None or address.is_site_local
        ):  # RFC 3879: deprecated, and still nobody's of the Internet
            return False
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def network_of(address: str) -> str:
    """Where somebody comes from, for counting: the address, but of IPv6 the network of 64 bits, as anybody has a whole one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Whether it is one of these addresses, or in one of these networks; ``*`` is all of them."""
    listed = tuple(networks)
    try:
        parsed = ipaddress.ip_address(address)
        return any(one == "*" or parsed in ipaddress.ip_network(one, strict=False) for one in listed)
    except ValueError:
        return address in listed
