"""What tools may connect to."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest

from penstock.chat.tools.egress import Egress, EgressTransport, Resolve
from penstock.ground.errors import ToolError

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "93.184.216.34"]
INTERNAL = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0",  # noqa: S104
    "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.0.192",
    "198.18.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "2002:7f00:1::", "2002:a9fe:a9fe::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2001:0:7f00:1::", "2001:db8::1", "not an address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert Egress(()).allows_address(address)


@pytest.mark.parametrize("address", INTERNAL)
def test_internal_addresses_are_not(address: str) -> None:
    assert not Egress(()).allows_address(address)


def test_private_addresses_are_allowed_where_the_operator_says_so() -> None:
    egress = Egress((), private=True)
    assert egress.allows_address("127.0.0.1")
    assert egress.allows_address("10.0.0.1")
    assert not egress.allows_address("0.0.0.0")  # noqa: S104
    assert not egress.allows_address("224.0.0.1")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("api.example.com", True), ("API.Example.COM.", True), ("example.com", False),
        ("evil-api.example.com", False), ("a.b.org", True), ("x.a.b.org", True), ("b.org", False),
        ("xb.org", False), (".b.org", False), ("api.example.com.evil.org", False), ("", False),
        ("[::1]", True), ("127.0.0.1", False),
    ],
)  # fmt: skip
def test_hosts_are_on_the_list_or_not(host: str, allowed: bool) -> None:
    assert Egress(("api.example.com", "*.b.org", "::1")).allows_host(host) is allowed


def resolver(*answers: Sequence[str]) -> Resolve:
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0)

    return resolve


@asynccontextmanager
async def hello() -> AsyncGenerator[int, None]:
    """A server on loopback that says hello and closes; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def fetch(url: str, egress: Egress, *answers: Sequence[str]) -> str:
    transport = EgressTransport(egress, resolver(*answers))
    async with httpx.AsyncClient(transport=transport) as client:
        return (await client.get(url)).text


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """The name is looked up once: a second answer would be another address (rebinding)."""
    async with hello() as port:
        url = f"http://no-such-name.invalid:{port}/"
        egress = Egress(("no-such-name.invalid",), private=True)
        assert await fetch(url, egress, ["127.0.0.1"]) == "hello"


@pytest.mark.parametrize(
    ("host", "address"), [("a.example", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")]
)
async def test_a_name_for_an_internal_address_is_refused(host: str, address: str) -> None:
    async with hello() as port:
        with pytest.raises(ToolError, match="not a public one"):
            await fetch(f"http://{host}:{port}/", Egress((host,)), [address])


async def test_one_internal_address_among_many_is_enough_to_refuse() -> None:
    with pytest.raises(ToolError, match="not a public one"):
        await fetch("http://a.example/", Egress(("a.example",)), ["8.8.8.8", "10.0.0.1"])


async def test_a_host_that_is_not_listed_is_not_even_looked_up() -> None:
    with pytest.raises(ToolError, match="may not be connected"):
        await fetch("http://evil.example/", Egress(("a.example",)))


async def test_a_name_without_an_address_is_a_plain_failure() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    transport = EgressTransport(Egress(("a.example",)), unknown)
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://a.example/")
