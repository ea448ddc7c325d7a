"""Restricts connections whose address comes from a user or from a server's answer.

A name is resolved once, and the connection goes to an address that was checked. So it is harmless
if the name resolves to another address a moment later. Redirects are checked, too.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import anyio
import httpcore2
import httpx2

from services.platform.errors import Invalid
from services.platform.settings import get_settings

# The operator sets these in the environment; users can't. Their hosts and ports are allowed.
OPERATORS = ("HF_ENDPOINT", "AWS_ENDPOINT_URL")
PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises Invalid if one of them is not allowed, and OSError if the
    host has none.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(str(info[4][0]) for info in infos))
    if _operators_own(host, port):
        return found
    for address in found:
        if not is_allowed(host, address):
            raise Invalid(
                f"`{host}` is {address}, an address of a private network or of this machine, "
                "which is not allowed. If it is intended, the operator must list the host or its "
                "network in ODDSMITH_EGRESS_ALLOW.",
                param="id",
                code="egress_refused",
            )
    return found


def check(url: str, param: str) -> None:
    """Raise Invalid, with `param`, unless the host of a URL has addresses that are all allowed."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        resolve(host, parts.port or PORTS[parts.scheme])
    except Invalid as refused:
        raise Invalid(refused.message, param=param, code=refused.code) from None
    except (OSError, UnicodeError):
        raise Invalid(
            f"The host `{host}` has no address. Check the spelling of {param}, and the network of "
            "this server.",
            param=param,
        ) from None


def is_allowed(host: str, address: str) -> bool:
    """Whether an address is a public one, or it or its host is listed."""
    listed = [part.strip().lower() for part in (get_settings().egress_allow or "").split(",")]
    if host.lower() in listed:
        return True
    meant = _meant(ipaddress.ip_address(address.partition("%")[0]))
    if any(meant in network for network in _networks(listed)):
        return True
    return meant.is_global and not meant.is_multicast


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address embeds, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _networks(listed: Iterable[str]) -> Iterable[Any]:
    for part in listed:
        try:
            yield ipaddress.ip_network(part)
        except ValueError:
            continue  # a host's name


def _operators_own(host: str, port: int) -> bool:
    for url in filter(None, map(os.environ.get, OPERATORS)):
        parts = urlsplit(url)
        if (parts.hostname, parts.port or PORTS.get(parts.scheme)) == (host.lower(), port):
            return True
    return False


class _Backend(httpcore2.SyncBackend):
    """Connects to what `resolve` allows; TLS still checks the certificate of the name."""

    def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> Any:
        try:
            addresses = resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        for address in addresses[:-1]:
            try:
                return super().connect_tcp(address, port, *args, **options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return super().connect_tcp(addresses[-1], port, *args, **options)


class _AsyncBackend(httpcore2.AsyncNetworkBackend):
    """The same, for asynchronous requests; names are resolved in a thread."""

    def __init__(self) -> None:
        self._sockets: Any = httpcore2.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> Any:
        try:
            addresses = await anyio.to_thread.run_sync(resolve, host, port)
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        for address in addresses[:-1]:
            try:
                return await self._sockets.connect_tcp(address, port, *args, **options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._sockets.connect_tcp(addresses[-1], port, *args, **options)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def client(**options: Any) -> httpx2.Client:
    """An HTTP client that connects only to allowed addresses. If the operator's environment names a
    proxy, the proxy resolves names and decides instead.
    """
    if getproxies_environment():
        return httpx2.Client(**options)
    transport = httpx2.HTTPTransport()
    # httpx2 has no argument for it; httpcore2's pool has.
    transport._pool._network_backend = _Backend()  # noqa: SLF001
    return httpx2.Client(transport=transport, trust_env=False, **options)


def async_client(**options: Any) -> httpx2.AsyncClient:
    """The same as `client`, for asynchronous requests."""
    if getproxies_environment():
        return httpx2.AsyncClient(**options)
    transport = httpx2.AsyncHTTPTransport(limits=options.pop("limits", httpx2.Limits()))
    transport._pool._network_backend = _AsyncBackend()  # noqa: SLF001
    return httpx2.AsyncClient(transport=transport, trust_env=False, **options)
