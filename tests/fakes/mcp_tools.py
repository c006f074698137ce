"""An MCP server by the official SDK; as a program it speaks over stdio."""

import asyncio
import os

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("fake")


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
    await asyncio.Event().wait()
    return ""


@server.tool()
async def grow(called: str, context: Context) -> str:
    """Add a tool and tell so."""
    server.add_tool(lambda: called, name=called, description="New")
    await context.notify_tools_changed()
    return "grown"


@server.tool()
def leave() -> str:
    """End the process at once."""
    os._exit(3)


if __name__ == "__main__":
    server.run("stdio")
