"""`POST /mcp`: the tools of a tenant for MCP clients, by streamable HTTP without sessions.

What is served (initialize, ping, tools/list, tools/call) needs no state, so any replica may answer
any request: with one JSON message, or, to a client that asks for a call's progress, with a stream
that ends in it. A client that hangs up cancels its call. `notifications/cancelled` names a request
that may run elsewhere and is not acted upon, as the protocol allows. Tools that wait for approval
are not offered: nobody could be asked here.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from penstock.chat.accumulate import Call
from penstock.chat.calls import Bounds, CallRunner
from penstock.chat.events import Step, ToolFinished, ToolProgress
from penstock.chat.sources import Toolboxes
from penstock.chat.streams import pulled
from penstock.chat.toolbox import Toolbox
from penstock.gateway.admission import Admission
from penstock.gateway.answer import EVENT_STREAM
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charges
from penstock.gateway.faults import fault_of
from penstock.gateway.refusals import limit_reached, reason_of
from penstock.gateway.replies import claimed_tenant, json_reply, secret_in, while_connected
from penstock.gateway.request_ids import new_request_id
from penstock.gateway.spans import About, RequestSpan
from penstock.gateway.tool_calls import ToolCalls
from penstock.gateway.waiting import patiently
from penstock.ground.clock import monotonic
from penstock.ground.errors import PenstockError
from penstock.registry.entries import End

PATH = "/mcp"
_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
_ANY_VERSION = ("initialize", "server/discover")
_PARSE, _INVALID, _UNKNOWN_METHOD, _BAD_PARAMS = -32700, -32600, -32601, -32602
_END = End(0, False, 0, 0, 0, 0, 0.0)
_HERE = ("localhost", "127.0.0.1", "::1")


class _Message(msgspec.Struct):
    jsonrpc: str
    method: str = ""
    id: int | str | None = None
    params: dict[str, Any] = {}

    @property
    def progress_token(self) -> int | str | None:
        """The name under which the client wants to hear of progress."""
        meta = self.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        return token if isinstance(token, int | str) else None


class _Refused(Exception):
    """The request is answered with an error of JSON-RPC."""

    def __init__(self, code: int, what: str, status: int = 200) -> None:
        super().__init__(what)
        self.code, self.what, self.status = code, what, status


@dataclass(frozen=True, slots=True)
class McpServer:
    """The route, and what it needs."""

    admission: Admission
    toolboxes: Toolboxes
    charges: Charges
    bounds: Bounds

    def route(self) -> Route:
        """Return the route; other methods than POST get 405: there are no sessions."""
        return Route(PATH, self.answer, methods=["POST"])

    async def answer(self, request: Request) -> Response:
        """Answer one JSON-RPC message."""
        message = caller = None
        try:
            caller = self.admission.identify(secret_in(request), claimed_tenant(request))
            await patiently(self.charges, lambda: self.admission.admit(caller))
            message = _read(request, await request.body())
            if message.id is None:  # a notification, or an answer to what we never ask
                return Response(status_code=202)
            return await self._reply(request, caller, message)
        except _Refused as refused:
            named = message.id if message else None
            return json_reply(_error(named, refused.code, refused.what), refused.status)
        except PenstockError as error:
            self.charges.meters.refuse(fault_of(error).status)
            if caller is not None:
                self._refused(caller, message, error)
            raise

    def _refused(self, caller: Caller, message: _Message | None, error: PenstockError) -> None:
        """Write a refusal, which no call and no answer is a line of, into the books."""
        name = message.params.get("name") if message is not None else None
        calls = ToolCalls(self.charges, caller, new_request_id())
        calls.refused(name if isinstance(name, str) else "", reason_of(error))

    async def _reply(self, request: Request, caller: Caller, message: _Message) -> Response:
        match message.method:
            case "initialize":
                result = _welcome(message.params.get("protocolVersion"))
            case "ping":
                result = {}
            case "tools/list":
                result = {"tools": _tools(self._box(caller))}
            case "tools/call":
                return await self._call(request, caller, message)
            case other:
                raise _Refused(_UNKNOWN_METHOD, f"there is no method {other[:100]}")
        return json_reply(_result(message, result))

    def _box(self, caller: Caller) -> Toolbox:
        return self.toolboxes.box(caller.name, caller.tools)

    async def _call(self, request: Request, caller: Caller, message: _Message) -> Response:
        box = self._box(caller)
        name, given = message.params.get("name"), message.params.get("arguments") or {}
        if not isinstance(name, str) or name not in box or box.needs_approval(name):
            raise _Refused(_BAD_PARAMS, f"there is no tool {str(name)[:100]}")
        call = Call("mcp", name, msgspec.json.encode(given).decode())
        steps = self._run(request, caller, box, call)
        streams = "text/event-stream" in request.headers.get("accept", "")
        if streams and message.progress_token is not None:
            await anext(steps)  # there is room: what is refused has a status of its own
            headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
            body = _events(message, steps)
            return StreamingResponse(body, media_type=EVENT_STREAM.decode(), headers=headers)
        return json_reply(await while_connected(request, _last(message, steps)))

    async def _run(
        self, request: Request, caller: Caller, box: Toolbox, call: Call
    ) -> AsyncGenerator[Step, None]:
        """Run a call within the caller's limits, and on its books."""
        deadline_s = monotonic() + self.bounds.turn_timeout_s
        runner = CallRunner(box, self.bounds, deadline_s)
        async with _room(self.charges, caller):
            request_id = new_request_id()
            span = self._span(request, caller, request_id)
            calls = ToolCalls(self.charges, caller, request_id, span)
            calls.begin()
            try:
                async with aclosing(pulled(partial(runner.run, [call]))) as steps:
                    async for step in steps:
                        calls.note(step)
                        yield step
            finally:
                calls.end("client_gone")
                if span is not None:
                    span.ended(_END)

    def _span(self, request: Request, caller: Caller, request_id: bytes) -> RequestSpan | None:
        if self.charges.tracer is None:
            return None
        about = About(request.headers.raw, request_id, caller.name, "", "execute_tool")
        span = self.charges.tracer.begin(about)
        span.turn()
        return span


@asynccontextmanager
async def _room(charges: Charges, caller: Caller) -> AsyncIterator[None]:
    """Take one of the places that the caller has at the same time."""
    entered = []
    try:
        for gate in caller.gates:
            if refusal := await patiently(charges, partial(gate.enter, 0)):
                raise limit_reached(caller, gate, refusal)
            entered.append(gate)
        yield
    finally:
        for gate in entered:
            gate.leave(0, 0)


def _read(request: Request, body: bytes) -> _Message:
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).hostname not in _HERE:
        # The protocol demands it, against browsers on strange pages; others name no origin.
        raise _Refused(_INVALID, "pages of other origins may not use this", 403)
    try:
        message = msgspec.json.decode(body, type=_Message)
    except msgspec.ValidationError as error:
        raise _Refused(_INVALID, str(error), 400) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Refused(_PARSE, str(error), 400) from error
    told = request.headers.get("mcp-protocol-version", _VERSIONS[0])
    if told not in _VERSIONS and message.method not in _ANY_VERSION:
        what = f"the protocol's version {told[:40]} is not known; {', '.join(_VERSIONS)} are"
        raise _Refused(_INVALID, what, 400)
    return message


async def _last(message: _Message, steps: AsyncGenerator[Step, None]) -> dict[str, object]:
    found: dict[str, object] = {}
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, ToolFinished):
                found = _result(message, _called(step))
    return found


async def _events(
    message: _Message, steps: AsyncGenerator[Step, None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, ToolProgress):
                yield _event(_progress(message, step))
            elif isinstance(step, ToolFinished):
                yield _event(_result(message, _called(step)))


def _event(message: Mapping[str, object]) -> bytes:
    return b"event: message\ndata: " + msgspec.json.encode(message) + b"\n\n"


def _called(step: ToolFinished) -> dict[str, object]:
    content = list(step.content) or [{"type": "text", "text": step.result}]
    return {"content": content, "isError": step.outcome != "ok"}


def _progress(message: _Message, step: ToolProgress) -> dict[str, object]:
    told = {"progress": step.progress, "total": step.total, "message": step.message}
    params: dict[str, object] = {"progressToken": message.progress_token}
    params |= {name: value for name, value in told.items() if value is not None}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def _welcome(asked: object) -> dict[str, object]:
    return {
        "protocolVersion": asked if asked in _VERSIONS else _VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "penstock", "version": version("penstock")},
    }


def _tools(box: Toolbox) -> list[dict[str, object]]:
    tools = []
    for name in box.names:
        tool = box.get(name)
        function = tool.definition["function"] if tool else None
        if tool is None or not isinstance(function, Mapping) or box.needs_approval(name):
            continue
        tools.append(
            {
                "name": name,
                "description": function.get("description") or name,
                "inputSchema": function.get("parameters", {"type": "object"}),
                "annotations": {"idempotentHint": tool.idempotent},
            }
        )
    return tools


def _result(message: _Message, result: dict[str, object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": message.id, "result": result}


def _error(message_id: int | str | None, code: int, what: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": what}}
