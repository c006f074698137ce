"""One connection to an MCP server, for ever made anew.

It lives in a task: it connects, lists the tools, lists them again when the server says that they
changed, and connects again when it is lost. Until the server is reached its tools are missing;
while it is away calls wait for a moment and then fail as tools fail. It waits longer after each
attempt that fails, until somebody calls: then it tries at once.

A call that is given up is cancelled at the server (`notifications/cancelled`, or its stream is
closed): the SDK does that. The list is asked for then, since a server may have stopped answering
on a connection that stands: where the list does not come either, the connection is made anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mcp import Client, MCPError
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types import CallToolResult, RequestParamsMeta, ToolListChangedNotification
from mcp.types import Tool as Described
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

from penstock.chat.call_context import CallContext, current_call
from penstock.chat.ports import Tool
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.handing_out import awaiting
from penstock.chat.tools.mcp_resources import resource_tools
from penstock.chat.tools.mcp_tool import UNANNOUNCED, McpTool, complaint_of
from penstock.chat.tools.mcp_transport import READ_S, Transport
from penstock.ground.errors import ToolError

_BACK_SOON_S = 2.0
_LIST_AGAIN_S = 300.0
_LISTENS_UNSEEN_S = 2.0
_TELLING_S = 0.5
_MAX_PAGES = 50
_MAX_LISTED = 500

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection is waited for, in seconds; `retry_s` after each failure in turn."""

    greeting_s: float = 60.0  # a process may fetch its program first
    list_s: float = 10.0
    ending_s: float = 15.0  # the SDK gives a process 2 s to end, 2 s more to be terminated
    retry_s: tuple[float, ...] = (0.2, 1.0, 5.0, 15.0)
    listen_again_s: float = 5.0


_PATIENCE = Patience()


class Page(Protocol):
    """One page of a list."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins, if there is one."""


P = TypeVar("P", bound=Page)


class Link:
    """Keeps the connection; `tools` are what the server has now."""

    def __init__(
        self, told: SourceSettings, transport: Transport, patience: Patience = _PATIENCE
    ) -> None:
        self._told, self._transport, self._patience = told, transport, patience
        self._client: Client | None = None
        self._failures = 0
        self._up = asyncio.Event()
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._wanted = asyncio.Event()
        self.tools: tuple[Tool, ...] = ()
        self.version = 0

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            living = asyncio.create_task(self._live())
            try:
                await asyncio.wait((living,))
            finally:
                await _see_end(living, self._patience.ending_s)
            error = None if living.cancelled() else living.exception()
            if error is not None:  # an SDK over strangers' servers: any may come
                _log.warning("MCP server %s: %s", self._told.name, _said(error))
            await self._pause()
            self._failures += 1

    async def _pause(self) -> None:
        """Wait before the next attempt, and no longer than the shortest once somebody calls."""
        waits = self._patience.retry_s
        await asyncio.sleep(waits[0])
        more_s = waits[min(self._failures, len(waits) - 1)] - waits[0]
        with suppress(TimeoutError):
            async with asyncio.timeout(more_s):
                await self._wanted.wait()
        self._wanted.clear()

    async def _live(self) -> None:
        self._changed.clear()
        self._lost.clear()
        client = Client(
            self._transport(),  # type: ignore[arg-type] # the SDK's own transports
            message_handler=self._take,
            read_timeout_seconds=READ_S,
            cache=None,
        )
        async with AsyncExitStack() as connected:
            async with asyncio.timeout(self._patience.greeting_s):
                await connected.enter_async_context(client)
            # The SDK checks answers with Python's `re`, which a server's pattern can keep busy for
            # ever, and all the gateway with it. `McpTool` checks them, with work that is bounded.
            client.session.validate_tool_result = _checked_elsewhere  # type: ignore[method-assign]
            await self._list(client)
            self._client = client
            self._failures = 0
            self._up.set()
            listening = asyncio.create_task(self._listen(client))
            try:
                await self._stay(client)
            finally:
                self._lose(client)
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _stay(self, client: Client) -> None:
        while True:
            await self._wait()
            if self._lost.is_set():
                return
            self._changed.clear()
            await self._list(client)

    async def _listen(self, client: Client) -> None:
        """Hear of changes as servers since 2026-07-28 tell them; older ones notify unasked.

        What changed after the list and before the server listened is told by nobody, so the list
        is asked for once more. A server may end its telling, and keep the connection.
        """
        try:
            while True:
                if not await self._hear(client):
                    return
                await asyncio.sleep(self._patience.listen_again_s)
        except ListenNotSupportedError:
            await asyncio.sleep(_LISTENS_UNSEEN_S)
            self._changed.set()
        except (MCPError, TimeoutError) as error:
            _log.debug("MCP server %s tells of no changes: %s", self._told.name, error)
        except SubscriptionLost:
            self._lost.set()

    async def _hear(self, client: Client) -> bool:
        """Hear of changes until the server ends it; returns whether it told of them at all."""
        async with client.listen(tools_list_changed=True) as events:
            self._changed.set()
            async for _ in events:
                self._changed.set()
            return bool(events.honored.tools_list_changed)

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
        elif isinstance(message, Exception) and not isinstance(message, ValueError):
            self._lost.set()  # a ValueError is a line that is no message: many servers print

    async def _list(self, client: Client) -> None:
        async with asyncio.timeout(self._patience.list_s):
            pages = await all_pages(lambda cursor: client.list_tools(cursor=cursor))
        found = [each for page in pages for each in page.tools][:_MAX_LISTED]
        wanted = [each for each in found if not self._told.only or each.name in self._told.only]
        tools: list[Tool] = list(self._usable(wanted))
        if self._told.resources and client.server_capabilities.resources is not None:
            taken = {tool.name for tool in tools}
            tools += [t for t in resource_tools(self, self._told.name) if t.name not in taken]
        if [tool.definition for tool in tools] != [tool.definition for tool in self.tools]:
            self.tools = tuple(tools)
            self.version += 1
            if missing := awaiting(self._told) - {"*", *(tool.name for tool in tools)}:
                # It may come later, so this is no error.
                names = ", ".join(sorted(missing))
                _log.warning("MCP server %s has no %s to approve", self._told.name, names)

    def _usable(self, found: Sequence[Described]) -> Iterator[Tool]:
        """Give what can be offered to a model; of two with one name, the first."""
        taken: set[str] = set()
        for each in found:
            tool = McpTool(self, self._told.name, each)
            why = "its name is taken" if tool.name in taken else complaint_of(tool)
            if why:
                _log.warning("the MCP tool %.100s is left out: %.300s", tool.name, why)
                continue
            if tool.unchecked:
                what = "answers of the MCP tool %.100s are not checked, its output schema: %.300s"
                _log.warning(what, tool.name, tool.unchecked)
            taken.add(tool.name)
            yield tool

    async def call(self, name: str, arguments: Mapping[str, object]) -> CallToolResult:
        """Call a tool; raises `ToolError` where the server is away."""
        context = current_call()

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            context.report(progress, total, message)

        return await self.ask(
            lambda client: client.call_tool(
                name, dict(arguments), progress_callback=tell, meta=_meta_of(context)
            )
        )

    async def ask(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do `work` with the connection, for which it waits a moment; raises `ToolError`."""
        if not self._up.is_set():
            self._wanted.set()
        try:
            async with asyncio.timeout(_BACK_SOON_S):
                await self._up.wait()
        except TimeoutError as error:
            raise ToolError("the service cannot be reached now") from error
        client = self._client
        if client is None:
            raise ToolError("the service cannot be reached now", transient=True)
        try:
            return await self._while_connected(work(client))
        except asyncio.CancelledError:
            self._changed.set()  # does it answer at all?
            raise
        except MCPError as error:
            if error.error.code == CONNECTION_CLOSED or "Session terminated" in str(error):
                self._lose(client)
                raise ToolError(
                    "the connection to the service was lost", transient=True
                ) from error
            if error.error.code == REQUEST_TIMEOUT:
                self._changed.set()
            raise ToolError(f"the service refused: {error.error.message[:500]}") from error
        except (ValueError, RuntimeError) as error:
            raise ToolError(UNANNOUNCED) from error  # the SDK holds answers to the protocol
        except Exception as error:
            self._lose(client)
            raise ToolError("the connection to the service was lost", transient=True) from error

    async def _while_connected(self, work: Awaitable[T]) -> T:
        """Do `work`, which fails when the connection is lost: the SDK may wait on for its answer.

        Given up, it has a moment to tell the server; what it does not end by itself is left.
        """
        doing = asyncio.ensure_future(work)
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait((doing, lost), return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise ConnectionError("the connection was lost")
        finally:
            lost.cancel()
            if not doing.done():
                doing.cancel()
                doing.add_done_callback(_heard)
                await asyncio.wait((doing,), timeout=_TELLING_S)

    def _lose(self, client: Client) -> None:
        if client is not self._client:
            return  # lost before, and perhaps there is another one already
        self._client = None
        self._up.clear()
        self._lost.set()


async def _see_end(task: "asyncio.Task[None]", patience_s: float) -> None:
    """End a task in which the SDK may swallow a cancellation that comes with something else.

    The second one comes late: it would break off the SDK's end of a process, and leave that alive.
    """
    task.add_done_callback(_heard)
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=patience_s)


def _heard(task: "asyncio.Task[object]") -> None:
    """Take note of an error with which something was ended that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


async def all_pages(ask: Callable[[str | None], Awaitable[P]]) -> list[P]:
    """Return the pages of a list; a server whose list never ends is cut short."""
    pages: list[P] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await ask(cursor)
        pages.append(page)
        if page.next_cursor is None or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    return pages


async def _checked_elsewhere(name: str, result: CallToolResult) -> None:
    """Stand in for the SDK's own check."""


def _meta_of(context: CallContext) -> RequestParamsMeta | None:
    meta: RequestParamsMeta = {**context.trace_headers}  # type: ignore[typeddict-item] # open
    return meta or None


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {str(error)[:200]}"
