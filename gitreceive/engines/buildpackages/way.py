"""The way to addresses that users name: what is not public is out of reach, however its name is resolved or redirected."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx

from gitreceive.addresses import Address, is_public
from gitreceive.errors import ConfigError, ForbiddenError

_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# no connection is kept: one that was made for a name must not serve another at the same address
_LIMITS = httpx.Limits(max_keepalive_connections=0)


class PublicWay(httpx.BaseTransport):
    """Goes to addresses that ``free`` names as they are, to all others over HTTPS and only if every address of their name is
    public; the connection is made to an address that was looked at. Where the environment names a proxy, the proxy resolves names
    and decides; then only what is written as an address is looked at.

    Raises ForbiddenError, ConfigError for a CA bundle that cannot be read, and httpx's errors. Thread-safe.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        ca_bundle: str,
        free: Callable[[str], bool],
        public: Callable[[Address], bool] | None = None,
        forbidden: Callable[[str, str], ForbiddenError] | None = None,
    ) -> None:
        """``environment`` names proxies and certificate authorities; ``public`` is ``is_public``, or stricter or looser; ``forbidden``
        makes the refusal of a host, and why.
        """
        self._forbidden = forbidden or _forbidden
        self._public = public or is_public
        self._environment = environment
        self._ca_bundle = ca_bundle
        self._free = free
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._ways: dict[str, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        free = self._free(str(request.url))
        if not free and request.url.scheme != "https":
            raise self._forbidden(request.url.host, "would be asked over plain HTTP")
        proxy = self._proxy(request.url)
        if free:
            return self._way(proxy).handle_request(request)
        if proxy:
            self._refuse_written(request.url)
            return self._way(proxy).handle_request(request)
        return self._direct(request)

    def close(self) -> None:
        with self._lock:
            ways, self._ways = self._ways, {}
        for way in ways.values():
            way.close()

    def _direct(self, request: httpx.Request) -> httpx.Response:
        failure: httpx.ConnectError | None = None
        for address in self._addresses(request):
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,  # the Host among them is the name's
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.host},
            )
            try:
                return self._way("").handle_request(pinned)
            except httpx.ConnectError as error:
                failure = error
        raise failure or httpx.ConnectError(f"{request.url.host} has no address", request=request)

    def _refuse_written(self, url: httpx.URL) -> None:
        address = _written(url.host)
        if url.host == "localhost" or (address is not None and not self._public(address)):
            raise self._forbidden(url.host, "is a private address")

    def _addresses(self, request: httpx.Request) -> Iterator[Address]:
        host, port = request.url.host, request.url.port or 443
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"{host}: {error}", request=request) from error
        addresses = dict.fromkeys(ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found)
        if not all(self._public(address) for address in addresses):
            raise self._forbidden(request.url.host, "has a private address")
        yield from addresses

    def _way(self, proxy: str) -> httpx.HTTPTransport:
        with self._lock:
            if proxy not in self._ways:
                self._context = self._context or self._trust()
                self._ways[proxy] = httpx.HTTPTransport(
                    verify=self._context, trust_env=False, limits=_LIMITS, proxy=proxy or None
                )
            return self._ways[proxy]

    def _trust(self) -> ssl.SSLContext:
        named = (self._environment.get(name) for name in _CA_VARIABLES)
        context = ssl.create_default_context(cafile=next((f for f in named if f and Path(f).is_file()), None))
        if self._ca_bundle:
            try:
                context.load_verify_locations(self._ca_bundle)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"the CA bundle {self._ca_bundle} cannot be read: {error}", hint="name a PEM file"
                ) from error
        return context

    def _proxy(self, url: httpx.URL) -> str:
        """As curl and others read the environment; empty: none."""
        known = {name.lower(): value for name, value in self._environment.items()}
        proxy = known.get(f"{url.scheme}_proxy") or known.get("all_proxy") or ""
        near = url.host == "localhost" or ((ip := _written(url.host)) is not None and ip.is_loopback)
        if not proxy or near or _exempt(url, known.get("no_proxy", "")):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"


def _exempt(url: httpx.URL, listed: str) -> bool:
    """Whether ``no_proxy`` has the host: ``*``, or names and the domains above it, with or without a port."""
    names = (word.strip().lstrip(".").lower() for word in listed.split(","))
    host, whole = url.host.lower(), f"{url.host.lower()}:{url.port or ''}"
    return any(name in {"*", whole, host} or host.endswith(f".{name}") for name in names if name)


def _written(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _forbidden(host: str, why: str) -> ForbiddenError:
    return ForbiddenError(
        f"buildpacks are not fetched from {host}: it {why}",
        hint="an administrator can list the address in build.buildpack_sources",
    )
