"""The ways to an MCP server: the SDK's transports over the tools' way out.

The SDK brings an HTTP library of its own; what leaves by it goes through `egress` all the same.
"""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import httpx2
from mcp import StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.egress import EgressTransport
from penstock.chat.tools.handing_out import credentials
from penstock.chat.tools.http_source import egress_of
from penstock.ground.errors import ToolError

READ_S = 300.0
"""Longest silence of a server; a turn's own bound ends a call long before."""
_MAX_BYTES = 8 * 1_048_576
_EVENT_ENDS = re.compile(rb"\r?\n\r?\n")

Transport = Callable[[], AbstractAsyncContextManager[object]]
"""Opens a connection: the streams that the SDK's `Client` takes."""


def transport_of(told: SourceSettings, secret: str | None) -> Transport:
    """Return what opens a connection: a process's stdio, SSE if the URL ends so, or HTTP.

    A process gets the credential in the variable that the source names, and of our environment
    only what every program needs (the SDK's list); a server gets it in a header.
    """
    if told.mcp_command:
        command, *arguments = told.mcp_command
        given = {told.variable: secret} if secret is not None else None
        process = StdioServerParameters(command=command, args=arguments, env=given)
        return lambda: stdio_client(process)
    url, ours = told.mcp_url or "", credentials(told, secret)

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=_Way(EgressTransport(egress_of(told, url))),
            headers={**ours, **(headers or {})},
            timeout=timeout or httpx2.Timeout(30.0, read=READ_S),
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
        size = 0
        try:
            async for part in self._answer.stream:
                # An event stream may last; one event of it, or one JSON answer, is bounded.
                size = 0 if _EVENT_ENDS.search(part) else size + len(part)
                if size > _MAX_BYTES:
                    raise httpx2.ReadError(f"the answer is larger than {_MAX_BYTES} bytes")
                yield part
        except httpx.HTTPError as error:
            raise httpx2.ReadError(str(error)) from error

    async def aclose(self) -> None:
        await self._answer.aclose()
