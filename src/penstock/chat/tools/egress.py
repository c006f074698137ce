"""Where tools may connect to: hosts on a list, at addresses that are checked and then used.

A name is resolved here, every address it has is checked, and the connection goes to the address
that was checked, so a name that changes its address in between gains nothing. TLS still sees the
name. This sits below httpx, so that redirects, pools and every library on httpx (the MCP SDK) go
through it.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from penstock.ground.errors import ToolError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host."""

_SPECIAL = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20"))
)
"""Off the public internet by IANA's registries, which older Pythons do not know in whole."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOW_32_BITS = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Egress:
    """What may be connected to.

    `hosts` are names as they stand in addresses; `*.example.com` is every name below. With
    `private`, addresses that are not on the public internet are allowed as well.
    """

    hosts: tuple[str, ...]
    private: bool = False

    def allows_host(self, host: str) -> bool:
        """Whether `host` is on the list."""
        name = host.lower().rstrip(".").strip("[]")
        return any(_matches(name, pattern.lower()) for pattern in self.hosts)

    def allows_address(self, address: str) -> bool:
        """Whether a connection may go to `address`."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if parsed.is_multicast or parsed.is_unspecified:
            return False
        return self.private or all(_is_public(each) for each in _meant(parsed))


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    return name == pattern


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _meant(address: _Address) -> Iterable[_Address]:
    """Give the address, and those that IPv6 can wrap: mapped, 6to4, Teredo, NAT64."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        yield from (each for each in wrapped if each is not None)
        if address in _NAT64 or int(address) >> 32 == 0:
            yield ipaddress.IPv4Address(int(address) & _LOW_32_BITS)


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return True  # judged by what it wraps
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of `host` by the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class _Network(httpcore.AsyncNetworkBackend):
    def __init__(self, egress: Egress, resolver: Resolve) -> None:
        self._egress, self._resolve = egress, resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        if not self._egress.allows_host(host):
            raise ToolError(f"{host} may not be connected to")
        try:
            addresses = await asyncio.wait_for(self._resolve(host, port), timeout)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} has no address") from error
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} could not be looked up in time") from error
        if not addresses or not all(self._egress.allows_address(each) for each in addresses):
            raise ToolError(f"{host} may not be connected to: its address is not a public one")
        return await self._inner.connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        raise ToolError("sockets of this machine may not be connected to")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_errors():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class EgressTransport(httpx.AsyncBaseTransport):
    """httpx's way out; proxies of the environment are not used."""

    def __init__(
        self,
        egress: Egress,
        resolver: Resolve = resolve,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=verify or httpx.create_ssl_context(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=_Network(egress, resolver),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises `ToolError` if its host or address is not allowed."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        asked = httpcore.Request(
            method=request.method,
            url=url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx_errors():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(
            status_code=answer.status,
            # A cookie would carry one tenant's session into another's call.
            headers=[pair for pair in answer.headers if pair[0].lower() != b"set-cookie"],
            stream=_Body(answer.stream),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


@contextmanager
def _as_httpx_errors() -> Any:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
        raise httpx.ConnectError(str(error)) from error
