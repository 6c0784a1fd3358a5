"""Where a request comes from: the socket's address, or what a trusted proxy says."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope


@lru_cache(maxsize=4096)
def source_of(host: str) -> str:
    """The address that limits count by: IPv4 as it is, IPv6 by its /64 (a line has 2^64 addresses of its own)."""
    try:
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)


def source(scope: Scope) -> str:
    """Of a request. uvicorn has put the client there, from X-Forwarded-For only if the peer is a trusted proxy."""
    client = scope.get("client")
    return source_of(str(client[0])) if client else "unknown"


class Proxies:
    """Which peers are trusted proxies."""

    def __init__(self, networks: list[str]) -> None:
        self._networks = [ip_network(network) for network in networks]

    def __contains__(self, host: str) -> bool:
        try:
            address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks if network.version == address.version)
