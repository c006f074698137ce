"""`POST /mcp`: the tools of a tenant for MCP clients, by streamable HTTP without sessions.

What is served (initialize, ping, tools/list, tools/call) needs no state and no stream, so each
request is one JSON answer and any replica may give it; the protocol allows a server to be that
plain. Tools that wait for approval are not offered: nobody could be asked here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.chat.accumulate import Call
from penstock.chat.calls import Bounds, CallRunner
from penstock.chat.events import ToolFinished
from penstock.chat.sources import Toolboxes
from penstock.chat.toolbox import Toolbox
from penstock.gateway.admission import Admission
from penstock.gateway.caller import Caller
from penstock.gateway.meters import Meters
from penstock.gateway.replies import claimed_tenant, json_reply, secret_in
from penstock.ground.clock import monotonic

PATH = "/mcp"
_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
_PARSE, _INVALID, _UNKNOWN_METHOD, _BAD_PARAMS = -32700, -32600, -32601, -32602


class _Message(msgspec.Struct):
    jsonrpc: str
    method: str = ""
    id: int | str | None = None
    params: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class McpServer:
    """The route, and what it needs."""

    admission: Admission
    toolboxes: Toolboxes
    meters: Meters
    bounds: Bounds

    def route(self) -> Route:
        """Return the route; other methods than POST get 405, as servers without streams answer."""
        return Route(PATH, self.answer, methods=["POST"])

    async def answer(self, request: Request) -> Response:
        """Answer one JSON-RPC message."""
        caller = self.admission.identify(secret_in(request), claimed_tenant(request))
        self.admission.admit(caller)
        try:
            message = msgspec.json.decode(await request.body(), type=_Message)
        except msgspec.ValidationError as error:
            return json_reply(_error(None, _INVALID, str(error)), 400)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return json_reply(_error(None, _PARSE, str(error)), 400)
        if message.id is None:
            return Response(status_code=202)  # a notification, or an answer to what we never ask
        return json_reply(await self._reply(caller, message))

    async def _reply(self, caller: Caller, message: _Message) -> dict[str, object]:
        if message.method == "initialize":
            return _result(message, _welcome(message.params.get("protocolVersion")))
        if message.method == "ping":
            return _result(message, {})
        box = self.toolboxes.box(caller.name, caller.tools)
        if message.method == "tools/list":
            return _result(message, {"tools": _tools(box)})
        if message.method == "tools/call":
            return await self._call(caller, box, message)
        return _error(message.id, _UNKNOWN_METHOD, f"there is no method {message.method[:100]}")

    async def _call(self, caller: Caller, box: Toolbox, message: _Message) -> dict[str, object]:
        name, given = message.params.get("name"), message.params.get("arguments") or {}
        if not isinstance(name, str) or name not in box or box.needs_approval(name):
            return _error(message.id, _BAD_PARAMS, f"there is no tool {str(name)[:100]}")
        runner = CallRunner(box, self.bounds, monotonic() + self.bounds.turn_timeout_s)
        call = Call("mcp", name, msgspec.json.encode(given).decode())
        failed = True
        async for step in runner.run([call]):
            if isinstance(step, ToolFinished):
                failed = step.outcome != "ok"
                self.meters.tool_called(name, caller.name, step.outcome, step.seconds)
        content = [{"type": "text", "text": call.result}]
        return _result(message, {"content": content, "isError": failed})


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
                "description": function.get("description", ""),
                "inputSchema": function.get("parameters", {"type": "object"}),
                "annotations": {"idempotentHint": tool.idempotent},
            }
        )
    return tools


def _result(message: _Message, result: dict[str, object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": message.id, "result": result}


def _error(message_id: int | str | None, code: int, what: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": what}}
