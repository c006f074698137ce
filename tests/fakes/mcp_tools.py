"""An MCP server by the official SDK; a program: `mcp_tools.py stdio|http|sse [PORT]`.

With `MCP_NOTES` in its environment it writes there what happens to calls.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("fake")


def note(text: str) -> None:
    if file := os.environ.get("MCP_NOTES"):
        with Path(file).open("a") as notes:
            notes.write(text + "\n")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@server.tool()
def fail(why: str) -> str:
    """Fail."""
    raise ToolError(why)


@server.tool()
async def wait() -> str:
    """Never answer."""
    note("waiting")
    try:
        await asyncio.Event().wait()
    finally:
        note("cancelled")
    return ""


@server.tool()
async def count(to: int, context: Context) -> str:
    """Tell of each step, and wait between them."""
    for done in range(1, to + 1):
        await context.report_progress(done, to, f"step {done}")
        await asyncio.sleep(0.15)
    return "counted"


@server.tool()
async def grow(called: str, context: Context) -> str:
    """Add a tool and tell so."""
    server.add_tool(lambda: called, name=called, description="New")
    await context.notify_tools_changed()
    await context.session.send_tool_list_changed()
    return "grown"


@server.tool()
async def shrink(called: str, context: Context) -> str:
    """Take a tool away and tell so."""
    server.remove_tool(called)
    await context.notify_tools_changed()
    await context.session.send_tool_list_changed()
    return "shrunk"


@server.tool()
def whoami(context: Context) -> str:
    """The credential that this server was given, and the trace it belongs to."""
    sent = (context.headers or {}).get("authorization")
    meta = context.request_context.meta or {}
    trace = meta.get("traceparent", "")
    return f"{sent or os.environ.get('API_KEY')} {trace} {os.environ.get('GATEWAY_SECRET')}"


@server.tool()
def leave() -> str:
    """End the process at once."""
    os._exit(3)


@server.tool()
async def turn_deaf() -> dict[str, int]:
    """Answer nothing more, once this is answered, nor end; who can be killed."""
    asyncio.get_running_loop().call_later(0.1, time.sleep, 3600)
    return {"pid": os.getpid()}


@server.resource("memo://one", description="A memo")
def one() -> str:
    return "Buy milk."


@server.resource("memo://picture", mime_type="image/png")
def picture() -> bytes:
    return b"\x89PNG"


if __name__ == "__main__":
    kind, *rest = sys.argv[1:] or ["stdio"]
    if kind == "http":
        server.run("streamable-http", port=int(rest[0]))
    elif kind == "sse":
        server.run("sse", port=int(rest[0]))
    else:
        server.run("stdio")
