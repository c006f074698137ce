"""Tools of an MCP server, by the official SDK: streamable HTTP, SSE or a process's stdio.

Each credential has a connection of its own, which lives in a task: it connects, lists the tools,
lists them again when the server says they changed, and connects again when it is lost. Until the
server is reached its tools are missing; calls while it is away fail as tools fail.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import httpx2
import msgspec
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types import (
    CallToolResult,
    EmbeddedResource,
    TextContent,
    TextResourceContents,
    ToolListChangedNotification,
)
from mcp.types import Tool as Described
from mcp_types import CONNECTION_CLOSED

from penstock.chat.ports import Tool
from penstock.chat.toolbox import Toolbox
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.egress import EgressTransport
from penstock.chat.tools.handing_out import (
    awaiting,
    check_secrets,
    credentials,
    fenced,
    secret_of,
)
from penstock.chat.tools.http_source import egress_of
from penstock.ground.errors import ToolError

_CALL_S = 300.0  # the turn's own bound ends a call long before
_CONNECT_S = 10.0
_RETRY_S = (0.2, 1.0, 5.0, 15.0)
_LIST_AGAIN_S = 300.0
_MAX_TOOLS = 500
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_log = logging.getLogger(__name__)
Transport = Callable[[], AbstractAsyncContextManager[object]]


def make_source(told: SourceSettings, environment: Mapping[str, str]) -> "McpSource":
    """Return the source; nothing is connected before its loops run.

    Raises:
        UserError: a credential is missing.
    """
    check_secrets(told, environment)
    own = [name for name, access in told.tenants.items() if access.secret_env]
    links = {
        tenant: Link(told, transport_of(told, credentials(told, secret)))
        for tenant in ("", *own)
        for secret in [secret_of(told, tenant, environment)]
    }
    return McpSource(told, links)


class McpSource:
    """Satisfies `sources.Source`; `links` are connections by tenant, "" for all others."""

    def __init__(self, told: SourceSettings, links: Mapping[str, "Link"]) -> None:
        self.name = told.name
        self._told, self._links = told, links
        self._approve = awaiting(told)

    @property
    def version(self) -> int:
        """How often any of the lists has changed."""
        return sum(link.version for link in self._links.values())

    def tools(self, tenant: str) -> Sequence[Tool]:
        """Return the tools the server has now."""
        link = self._links.get(tenant) or self._links[""]
        return fenced(self._told, tenant, link.tools)

    def needs_approval(self, tool: str) -> bool:
        """Whether calls of the tool wait."""
        return "*" in self._approve or tool in self._approve

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Return what keeps the connections."""
        return [link.run() for link in self._links.values()]


class Link:
    """One connection to an MCP server, for ever made anew."""

    def __init__(self, told: SourceSettings, transport: Transport) -> None:
        self._told, self._transport = told, transport
        self._client: Client | None = None
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self.tools: tuple[Tool, ...] = ()
        self.version = 0

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        failures = 0
        while True:
            try:
                await self._live()
            except Exception as error:  # noqa: BLE001 - an SDK over strangers' servers: any may come
                _log.warning("MCP server %s: %s", self._told.name, _said(error))
            finally:
                self._client = None
            # A connection that had listed tools starts anew; one that never did waits longer.
            failures = 0 if self.tools and failures >= len(_RETRY_S) else failures + 1
            await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S)) - 1])

    async def _live(self) -> None:
        self._changed.clear()
        self._lost.clear()
        client = Client(
            self._transport(),  # type: ignore[arg-type] # the SDK's own transports
            message_handler=self._take,
            read_timeout_seconds=_CALL_S,
            cache=None,
        )
        async with client:
            async with asyncio.timeout(_CONNECT_S):
                await self._list(client)
            self._client = client
            listening = asyncio.create_task(self._listen(client))
            try:
                await self._stay(client)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _stay(self, client: Client) -> None:
        while True:
            await self._wait()
            if self._lost.is_set():
                return
            self._changed.clear()
            async with asyncio.timeout(_CONNECT_S):
                await self._list(client)

    async def _listen(self, client: Client) -> None:
        """Hear of changes as servers since 2026-07-28 tell them; older ones notify unasked."""
        try:
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._changed.set()
        except ListenNotSupportedError:
            return
        except (MCPError, TimeoutError) as error:
            _log.debug("MCP server %s tells of no changes: %s", self._told.name, error)
        except SubscriptionLost:
            self._lost.set()

    async def _wait(self) -> None:
        """Wait until the list has changed, the connection is lost, or it is time to look."""
        waits = [asyncio.create_task(each.wait()) for each in (self._changed, self._lost)]
        try:
            await asyncio.wait(waits, timeout=_LIST_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _take(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed.set()
        elif isinstance(message, Exception):
            self._lost.set()

    async def _list(self, client: Client) -> None:
        found: list[Described] = []
        cursor = None
        while True:
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) >= _MAX_TOOLS:
                break
        wanted = [each for each in found if not self._told.only or each.name in self._told.only]
        tools = tuple(
            tool for each in wanted if (tool := McpTool(self, self._told.name, each)).is_usable()
        )
        if [tool.definition for tool in tools] != [tool.definition for tool in self.tools]:
            self.tools = tools
            self.version += 1

    async def call(self, name: str, arguments: Mapping[str, object]) -> CallToolResult:
        """Call a tool; raises `ToolError` where the server is away."""
        if self._client is None:
            raise ToolError("the service cannot be reached now")
        try:
            return await self._client.call_tool(name, dict(arguments))
        except MCPError as error:
            if error.error.code == CONNECTION_CLOSED:
                self._lost.set()
                raise ToolError("the connection to the service was lost") from error
            raise ToolError(f"the service refused: {error.error.message[:500]}") from error
        except Exception as error:
            self._lost.set()
            raise ToolError("the connection to the service was lost", transient=True) from error


class McpTool:
    """Satisfies `Tool`: one tool of an MCP server."""

    def __init__(self, link: Link, source: str, described: Described) -> None:
        self._link, self._described = link, described
        self.name = f"{source}_{described.name}"
        hints = described.annotations
        self.idempotent = bool(hints and (hints.idempotent_hint or hints.read_only_hint))
        self.definition: Mapping[str, object] = {
            "type": "function",
            "function": {
                "name": self.name,
                "description": described.description or described.title or described.name,
                "parameters": described.input_schema,
            },
        }

    def is_usable(self) -> bool:
        """Whether its name and schema will do; what will not is logged and left out."""
        try:
            if not _NAME.fullmatch(self.name):
                raise ValueError("its name cannot be a function's")
            Toolbox([self])
        except ValueError as error:
            _log.warning("the MCP tool %s is left out: %s", self.name, error)
            return False
        return True

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Call it; what the server calls an error is a `ToolError`."""
        result = await self._link.call(self._described.name, arguments)
        if result.is_error:
            raise ToolError(_text_of(result)[:2000] or "the service reports an error")
        if result.structured_content is not None:
            structured: object = result.structured_content
            return structured
        text = _text_of(result)
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return {"text": text}


def _text_of(result: CallToolResult) -> str:
    parts = []
    for part in result.content:
        if isinstance(part, TextContent):
            parts.append(part.text)
        elif isinstance(part, EmbeddedResource) and isinstance(
            part.resource, TextResourceContents
        ):
            parts.append(part.resource.text)
        else:
            parts.append(f"[{part.type}, not shown]")
    return "\n".join(parts)


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {str(error)[:200]}"


def transport_of(told: SourceSettings, ours: Mapping[str, str]) -> Transport:
    """Return what opens a connection: a process's stdio, SSE if the URL ends so, or HTTP."""
    if told.mcp_command:
        command, *arguments = told.mcp_command
        process = StdioServerParameters(command=command, args=arguments)
        return lambda: stdio_client(process)
    url = told.mcp_url or ""

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=_Way(EgressTransport(egress_of(told, url))),
            headers={**ours, **(headers or {})},
            timeout=timeout or httpx2.Timeout(30.0, read=_CALL_S),
            auth=auth,
            trust_env=False,
        )

    if url.rstrip("/").endswith("/sse"):
        return lambda: sse_client(url, httpx_client_factory=client)

    @asynccontextmanager
    async def over_http() -> AsyncIterator[object]:
        async with client() as http, streamable_http_client(url, http_client=http) as streams:
            yield streams

    return over_http


class _Way(httpx2.AsyncBaseTransport):
    """The SDK's HTTP library over our way out; the two libraries differ in name alone."""

    def __init__(self, inner: EgressTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = httpx.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            stream=_Upload(request.stream),
            extensions=request.extensions,
        )
        try:
            answer = await self._inner.handle_async_request(asked)
        except (httpx.HTTPError, ToolError) as error:
            raise httpx2.ConnectError(str(error)) from error
        return httpx2.Response(
            answer.status_code, headers=answer.headers.raw, stream=_Download(answer)
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Upload(httpx.AsyncByteStream):
    def __init__(self, stream: object) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._stream, httpx2.AsyncByteStream)  # noqa: S101 - a client's request
        async for part in self._stream:
            yield part


class _Download(httpx2.AsyncByteStream):
    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._answer.stream, httpx.AsyncByteStream)  # noqa: S101 - our transport
        try:
            async for part in self._answer.stream:
                yield part
        except httpx.HTTPError as error:
            raise httpx2.ReadError(str(error)) from error

    async def aclose(self) -> None:
        await self._answer.aclose()
