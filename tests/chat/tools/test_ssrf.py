"""Ways to make a tool ask what it must not: each tried on a real tool, over real sockets.

A canary listens on loopback, off the public internet; nothing may ever reach it.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from penstock.chat.tools import http_source
from penstock.chat.tools.described import Operation, SourceSettings
from penstock.chat.tools.egress import Egress, EgressTransport
from penstock.chat.tools.http_tool import HttpTool
from penstock.ground.errors import ToolError

OPERATION = Operation(
    "s_get", "", "GET", "/c/{id}", {"type": "object"}, {"id": "path", "q": "query", "h": "header"}
)


class Canary:
    """Counts who comes, and answers everybody the same."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[str] = []
        self.answer = "HTTP/1.1 200 OK\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heard.append(head)
        writer.write(f"{self.answer}content-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncGenerator[Canary, None]:
    canary = Canary()
    async with await asyncio.start_server(canary.serve, host, 0) as server:
        canary.port = server.sockets[0].getsockname()[1]
        yield canary


async def ask(url: str, arguments: dict[str, object] | None = None, **more: object) -> object:
    """Call the operation of a source whose operator wrote `url`."""
    told = SourceSettings("s", operations=(OPERATION,), url=url, **more)  # type: ignore[arg-type]
    (tool,) = http_source.make_source(told, {}).tools("org-a")
    assert isinstance(tool, HttpTool)
    async with tool._access.client:
        return await tool.call({"id": "1", **(arguments or {})})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1",
        "017700000001", "0", "0.0.0.0", "127.0.0.2", "localhost", "[::1]", "[::]",  # noqa: S104
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]",
        "127.0.0.1.", "①②⑦.⓪.⓪.①", "127。0。0。1",
    ],
)  # fmt: skip
async def test_loopback_however_it_is_written(host: str) -> None:
    async with listening() as canary:
        with pytest.raises(ToolError):
            await ask(f"http://{host}:{canary.port}")
        assert canary.heard == []


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:a9fe:a9fe]",
     "[fd00:ec2::254]", "[fe80::a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "169.254.170.2",
     "100.100.100.200", "192.0.0.192"],
)  # fmt: skip
async def test_addresses_of_metadata_services(host: str) -> None:
    with pytest.raises(ToolError, match=r"may not be connected to|cannot be used"):
        await ask(f"http://{host}")


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example@127.0.0.1:{port}/", "http://a.example:80@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}#@a.example/", "http://127.0.0.1:{port}?@a.example/",
        "http://127.0.0.1:{port}\\@a.example/", "http://a.example%00@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/a.example", "http://a.example.127.0.0.1.nip.invalid:{port}/",
    ],
)  # fmt: skip
async def test_an_address_that_only_looks_like_one_on_the_list(url: str) -> None:
    """As a server may send it; the host that a parser finds must be on the list."""
    async with listening() as canary:
        transport = EgressTransport(Egress(("a.example",), private=True))
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            with pytest.raises((ToolError, httpx.HTTPError, httpx.InvalidURL)):
                await client.get(url.format(port=canary.port))
        assert canary.heard == []


@pytest.mark.parametrize(
    "value",
    ["@127.0.0.1", "//127.0.0.1/", "\\\\127.0.0.1", "http://127.0.0.1/", "..%2f..", "../../x",
     "1\r\nhost: evil.example", "1 HTTP/1.1\r\n\r\nGET /admin", "?x#y", "%0d%0a", "\x00"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["id", "q", "h"])
async def test_a_value_of_the_model_goes_nowhere_else(value: str, place: str) -> None:
    async with listening() as canary:
        try:
            await ask(f"http://127.0.0.1:{canary.port}/v1", {place: value}, private=True)
        except ToolError:
            assert canary.heard == []
            return
        (head,) = canary.heard
        line, *rest = head.split("\r\n")
        method, target, _ = line.split(" ")
        assert method == "GET"
        path = urlsplit(target).path
        assert path.startswith("/v1/c/")
        assert path.count("/") == 3
        assert len([each for each in rest if each.lower().startswith("host:")]) == 1
        assert f"host: 127.0.0.1:{canary.port}" in head.lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{other}/", "http://localhost:{port}/", "//169.254.169.254/latest",
     "https://127.0.0.1:{port}/", "file:///etc/passwd", "gopher://127.0.0.1:{other}/",
     "http://a.example@127.0.0.1:{other}/"],
)  # fmt: skip
async def test_a_redirect_leads_nowhere_else(status: int, target: str) -> None:
    async with listening() as service, listening() as canary:
        to = target.format(port=service.port, other=canary.port)
        service.answer = f"HTTP/1.1 {status} Go\r\nlocation: {to}\r\n"
        with pytest.raises(ToolError):
            await ask(f"http://127.0.0.1:{service.port}", private=True)
        assert len(service.heard) == 1
        assert canary.heard == []


async def test_a_name_that_changes_its_address_is_checked_at_each_connection() -> None:
    """Rebinding: what was public a moment ago is looked at again, and never trusted."""
    answers = [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async with listening() as canary:
        transport = EgressTransport(Egress(("rebind.example",)), resolve)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            for _ in range(3):
                with pytest.raises(ToolError, match="not a public one"):
                    await client.get(f"http://rebind.example:{canary.port}/")
        assert canary.heard == []
        assert answers == []


async def test_the_name_is_not_looked_up_again_below_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection goes to the address as it was checked: no second lookup could differ."""
    looked_up: list[object] = []
    real = socket.getaddrinfo

    def spying(host: Any, *more: Any, **named: Any) -> Any:
        looked_up.append(host)
        return real(host, *more, **named)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(socket, "getaddrinfo", spying)
    async with listening() as service:
        looked_up.clear()
        transport = EgressTransport(Egress(("name.invalid",), private=True), resolve)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            await client.get(f"http://name.invalid:{service.port}/")
    assert "name.invalid" not in looked_up


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_a_proxy_of_the_environment_is_not_used(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening() as service, listening() as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        await ask(f"http://127.0.0.1:{service.port}", private=True)
        assert (len(service.heard), len(proxy.heard)) == (1, 0)


@pytest.mark.parametrize("port", [22, 25, 6379])
async def test_another_port_of_the_service_is_not_reached_by_a_redirect(port: int) -> None:
    async with listening() as service:
        service.answer = f"HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:{port}/\r\n"
        with pytest.raises(ToolError, match="elsewhere"):
            await ask(f"http://127.0.0.1:{service.port}", private=True)


async def test_one_tenants_cookie_is_not_anothers() -> None:
    async with listening() as service:
        service.answer = "HTTP/1.1 200 OK\r\nset-cookie: session=org-a; path=/\r\n"
        told = SourceSettings(
            "s", operations=(OPERATION,), url=f"http://127.0.0.1:{service.port}", private=True
        )
        source = http_source.make_source(told, {})
        tools = [source.tools(tenant)[0] for tenant in ("org-a", "org-b", "org-a")]
        assert isinstance(tools[0], HttpTool)
        async with tools[0]._access.client:
            for tool in tools:
                await tool.call({"id": "1"})
        assert not any("cookie" in head.lower() for head in service.heard)
