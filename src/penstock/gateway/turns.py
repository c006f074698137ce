"""Turns over HTTP: the loop between engine and tools, answered plain or as a stream."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from penstock.chat.calls import Bounds
from penstock.chat.events import Chunk, Event, Finished, ToolFinished
from penstock.chat.ports import Tool
from penstock.chat.request import TurnRequest, read_request
from penstock.chat.toolbox import Toolbox
from penstock.chat.turn import Turn
from penstock.engines.conduit.framing import framed
from penstock.gateway.admission import Route, Tenant
from penstock.gateway.answer import EVENT_STREAM, JSON, LAST_CHUNK, Client
from penstock.gateway.completion import completion_of, tool_comment
from penstock.gateway.faults import fault_of
from penstock.gateway.meters import Meter, Meters
from penstock.gateway.passage import CachedTokens, Usage
from penstock.gateway.settings import Settings
from penstock.gateway.upstream import Upstream
from penstock.ground.errors import EngineError, EngineRefused, PenstockError, UserError

_CHAT = b"/v1/chat/completions"

log = logging.getLogger("penstock.gateway")


class Turns:
    """Starts turns with the tools each tenant is granted."""

    def __init__(self, settings: Settings, tools: Sequence[Tool], meters: Meters) -> None:
        """Compile the toolbox of every tenant.

        Raises:
            UserError: a tenant is granted a tool that does not exist.
        """
        known = {tool.name: tool for tool in tools}
        self._boxes: dict[str, Toolbox] = {}
        for tenant in settings.tenants:
            if missing := [name for name in tenant.tools if name not in known]:
                raise UserError(
                    f"tenant {tenant.name} is granted a tool that does not exist",
                    why=", ".join(missing),
                    fix=f"There are: {', '.join(known)}",
                )
            self._boxes[tenant.name] = Toolbox([known[name] for name in tenant.tools])
        bounds = settings.tools
        self._bounds = Bounds(
            max_rounds=bounds.max_rounds,
            call_timeout_s=bounds.call_timeout_s,
            turn_timeout_s=bounds.turn_timeout_s,
            max_result_bytes=bounds.max_result_bytes,
        )
        self._meters = meters

    def definitions_for(self, tenant: Tenant) -> msgspec.Raw:
        """Return the JSON list of tools granted to `tenant`, in OpenAI's form."""
        return self._boxes[tenant.name].definitions

    def begin(
        self, client: Client, tenant: Tenant, route: Route, streams: bool, body: bytes
    ) -> "TurnAnswer":
        """Start a turn that answers `client`.

        Raises:
            RequestError: a field does not go with the gateway's tools.
        """
        run = self._run(tenant, route, read_request(body), client.request_id)
        return TurnAnswer(client, run, streams)

    async def ask(self, tenant: Tenant, route: Route, body: bytes, request_id: bytes) -> Finished:
        """Run a turn to its end and return its answer.

        Raises:
            EngineError: no engine could answer.
        """
        run = self._run(tenant, route, read_request(body), request_id)
        async with aclosing(run.events()) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event
        raise AssertionError("a turn ends with Finished or with an error")

    def _run(
        self, tenant: Tenant, route: Route, request: TurnRequest, request_id: bytes
    ) -> "_Run":
        upstream = Upstream(route, _CHAT, request_id)
        turn = Turn(request, upstream, self._boxes[tenant.name], self._bounds)
        return _Run(turn, self._meters.of(tenant.name, route.model), self._meters)


class _Run:
    """One turn and its account: whatever ends it, what it used is counted, once."""

    def __init__(self, turn: Turn, meter: Meter, meters: Meters) -> None:
        self._turn, self.meter, self._meters = turn, meter, meters
        self.since_s = time.perf_counter()
        self.expired = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run the turn; see `Turn.events`."""
        outcome = "failed"
        try:
            async with aclosing(self._turn.events()) as events:
                async for event in events:
                    if isinstance(event, ToolFinished):
                        self._count_call(event)
                    yield event
            outcome = "complete"
        except EngineError as error:
            outcome = "engine_refused" if isinstance(error, EngineRefused) else "engine_died"
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "timeout" if self.expired else "client_gone"
            raise
        finally:
            self.settle(outcome)

    def _count_call(self, event: ToolFinished) -> None:
        name = "unknown" if event.outcome == "unknown" else event.name
        self._meters.tool_called(name, self.meter.tenant, event.outcome, event.seconds)

    def settle(self, outcome: str) -> None:
        turn = self._turn
        cached = (turn.usage.prompt_tokens_details or {}).get("cached_tokens", 0)
        usage = Usage(
            turn.usage.prompt_tokens,
            turn.usage.completion_tokens,
            CachedTokens(cached) if cached else None,
        )
        seconds = time.perf_counter() - self.since_s
        self.meter.settle(outcome, usage, turn.unreported_deltas, seconds)


class TurnAnswer:
    """Answers one client with a turn. Satisfies `answer.Answer`."""

    def __init__(self, client: Client, run: _Run, streams: bool) -> None:
        self._client, self._run = client, run
        self._begun = False
        self._task = asyncio.create_task(self._stream() if streams else self._plain())

    async def _plain(self) -> None:
        try:
            async with aclosing(self._run.events()) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        body = completion_of(event)
                        self._client.write(self._client.head(200, JSON, len(body)) + body)
                        self._client.finish()
        except asyncio.CancelledError:
            self._end_cancelled()
        except PenstockError as error:
            self._client.fail(fault_of(error))
        except Exception as error:
            log.exception("request %s failed", self._client.request_id.decode())
            self._client.fail(fault_of(error))

    async def _stream(self) -> None:
        try:
            async with aclosing(self._run.events()) as events:
                async for event in events:
                    if isinstance(event, Chunk):
                        self._write(event.data)
                    elif isinstance(event, Finished):
                        self._write(b"data: [DONE]\n\n")
                    else:
                        self._write(tool_comment(event))
                    await self._client.drain()
            self._close()
        except asyncio.CancelledError:
            self._end_cancelled()
        except PenstockError as error:
            self._fail(error)
        except Exception as error:
            log.exception("request %s failed", self._client.request_id.decode())
            self._fail(error)

    def _write(self, data: bytes) -> None:
        payload = framed(data) if self._client.takes_chunks else data
        if not self._begun:
            self._begun = True
            self._run.meter.ttft.add(time.perf_counter() - self._run.since_s)
            payload = self._client.head(200, EVENT_STREAM, None) + payload
        self._client.write(payload)

    def _close(self) -> None:
        if self._client.takes_chunks:
            self._client.write(LAST_CHUNK)
        self._client.finish()

    def _fail(self, error: BaseException) -> None:
        if not self._begun:
            self._client.fail(fault_of(error))
            return
        self._write(b"data: " + fault_of(error).body + b"\n\n")
        self._close()

    def _end_cancelled(self) -> None:
        if self._run.expired:  # else the client has left, and nobody is there to be told
            self._fail(TimeoutError())

    def cancel(self) -> None:
        """Answer: the client has left."""
        self._task.cancel()

    def expire(self) -> None:
        """Answer: time is up."""
        self._run.expired = True
        self._task.cancel()

    def pause(self) -> None:
        """Answer: the loop waits by itself, in `drain`."""

    def resume(self) -> None:
        """Answer: the loop goes on by itself."""
