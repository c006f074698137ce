"""MCP servers of the official SDK as sources of tools."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvicorn
from tests.fakes import mcp_tools

from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.mcp_source import McpSource, make_source
from penstock.ground.errors import ToolError

STDIO = SourceSettings("fake", mcp_command=(sys.executable, str(Path(mcp_tools.__file__))))


@asynccontextmanager
async def running(told: SourceSettings) -> AsyncGenerator[McpSource, None]:
    source = make_source(told, {})
    tasks = [asyncio.create_task(loop) for loop in source.loops()]
    try:
        await until(lambda: bool(source.tools("org-a")))
        yield source
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not ready():  # noqa: ASYNC110 - it is asked, it does not tell
            await asyncio.sleep(0.01)


@asynccontextmanager
async def served() -> AsyncGenerator[str, None]:
    """The server over streamable HTTP on loopback; gives its URL."""
    app = mcp_tools.server.streamable_http_app()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.should_exit = True
        server.force_exit = True
        await task


async def call(source: McpSource, name: str, **arguments: object) -> object:
    tools = {tool.name: tool for tool in source.tools("org-a")}
    return await tools[f"fake_{name}"].call(arguments)


async def check(source: McpSource) -> None:
    names = {tool.name for tool in source.tools("org-a")}
    assert names >= {"fake_add", "fake_fail", "fake_wait"}
    assert {tool.name for tool in source.tools("org-a") if tool.idempotent} == {"fake_add"}
    assert await call(source, "add", a=1, b=2) == {"sum": 3}
    with pytest.raises(ToolError, match="no luck"):
        await call(source, "fail", why="no luck")
    waiting = asyncio.create_task(call(source, "wait"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await call(source, "add", a=2, b=2) == {"sum": 4}, "the connection still stands"


async def test_a_server_on_stdio() -> None:
    async with running(STDIO) as source:
        await check(source)
        version = source.version
        await call(source, "grow", called="newer")
        await until(lambda: source.version > version)
        assert await call(source, "newer") is not None


async def test_a_server_that_died_is_started_again() -> None:
    async with running(STDIO) as source:
        with pytest.raises(ToolError):
            await asyncio.wait_for(call(source, "leave"), 5)

        async def answers() -> bool:
            try:
                return await call(source, "add", a=1, b=1) == {"sum": 2}
            except ToolError:
                return False

        async with asyncio.timeout(20):
            while not await answers():  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_server_over_http() -> None:
    async with served() as url, running(SourceSettings("fake", mcp_url=url, private=True)) as it:
        await check(it)


async def test_an_internal_server_is_not_reached_unless_allowed() -> None:
    async with served() as url:
        source = make_source(SourceSettings("fake", mcp_url=url), {})
        task = asyncio.create_task(source.loops()[0])
        await asyncio.sleep(0.2)
        assert source.tools("org-a") == ()
        with pytest.raises(ToolError, match="cannot be reached"):
            await source._links[""].call("add", {})
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_only_what_is_wanted() -> None:
    told = SourceSettings("fake", mcp_command=STDIO.mcp_command, only=("add",), approve=("add",))
    async with running(told) as source:
        assert [tool.name for tool in source.tools("org-a")] == ["fake_add"]
        assert source.needs_approval("fake_add")
