"""An MCP server that means harm, over stdio and without any library: `mcp_hostile.py HOW`."""

import json
import sys
from typing import Any

HUGE = 3_000_000
OPEN = {"type": "object"}


def tool(name: str, schema: object = OPEN, **more: object) -> dict[str, object]:
    return {"name": name, "inputSchema": schema, **more}


LISTS: dict[str, list[dict[str, object]]] = {
    "names": [
        tool("good"), tool("find.customer"), tool("find/customer"), tool("with space"),
        tool("ünï ✓"), tool("x" * 200), tool("x" * 201), tool("good"), tool("calculate_math"),
    ],
    "schemas": [
        tool("good"), tool("wrong", {"type": "object", "properties": {"a": {"type": "nonsense"}}}),
        tool("remote", {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}),
        tool("large", {"type": "object", "description": "y" * 100_000}),
        tool("lies", outputSchema={"type": "object", "required": ["a"]}),
        tool("odd", outputSchema={"type": "object", "$ref": "http://127.0.0.1:9/x"}),
    ],
    "unreadable": [tool("good"), tool("wrong", {"type": "nonsense"})],
    "results": [tool("huge"), tool("wide"), tool("lies", outputSchema={
        "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}),
        tool("trap", outputSchema={"type": "object", "properties": {
            "a": {"type": "string", "pattern": r"^(a|a)*\1$"}, "b": {"pattern": "^(a+)+$"}}}),
        tool("broken"), tool("other"), tool("chatter")],
}  # fmt: skip


STRUCTURED: dict[str, object] = {
    "lies": {"a": "no number"},
    "trap": {"a": "a" * 99 + "!", "b": "a" * 99 + "!"},
    "other": {"rows": [{"org": "org-b"}]},
}


def page(how: str, cursor: str | None) -> dict[str, object]:
    if how == "endless":
        number = int(cursor or 0)
        return {"tools": [tool(f"t{number}")], "nextCursor": str(number + 1)}
    if how == "circle":
        return {"tools": [tool("good")], "nextCursor": "again"}
    return {"tools": LISTS[how]}


def result(name: str) -> dict[str, object]:
    text = {"type": "text", "text": "fine"}
    if name.endswith("huge"):
        return {"content": [{"type": "text", "text": "z" * HUGE}]}
    if name == "wide":
        return {"content": [text] * 5_000}
    if name == "broken":
        return {"content": "no list"}
    if name in STRUCTURED:
        return {"content": [text], "structuredContent": STRUCTURED[name]}
    return {"content": [text]}


def answer(how: str, asked: dict[str, Any]) -> dict[str, object] | None:
    params = asked.get("params") or {}
    match asked["method"]:
        case "initialize":
            return {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "hostile", "version": "1"},
            }
        case "tools/list":
            return page(how, params.get("cursor"))
        case "tools/call":
            return result(params["name"])
    return None


def send(message: dict[str, object]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked or "method" not in asked:
            continue
        if (asked.get("params") or {}).get("name") == "chatter":
            print("this is no JSON", flush=True)
            token = asked["params"]["_meta"]["progressToken"]
            for done in range(2_000):
                params = {"progressToken": token, "progress": done, "message": "m" * 5_000}
                send({"method": "notifications/progress", "params": params})
        told = answer(sys.argv[1], asked)
        if told is None:
            send({"id": asked["id"], "error": {"code": -32601, "message": "no such method"}})
        else:
            send({"id": asked["id"], "result": told})
