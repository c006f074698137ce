"""An MCP server whose tools change just before it listens, and that ends its telling; a program.

`mcp_quiet.py http PORT`. Each subscription adds the tool `heard_N`, and tells nobody.
"""

import sys
from collections.abc import Callable

from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import InMemorySubscriptionBus, ServerEvent, ToolsListChanged

_MORE_THAN_THE_BACKLOG = 1100


class QuietBus(InMemorySubscriptionBus):
    """Changes the tools where nobody is told of it."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[Callable[[ServerEvent], None]] = []

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        name = f"heard_{len(self.listeners)}"
        server.add_tool(lambda: name, name=name, description="New")
        return super().subscribe(listener)


bus = QuietBus()
server = MCPServer("quiet", subscriptions=bus)


@server.tool()
async def hang_up() -> str:
    """Tell faster than anybody reads: the SDK ends such a subscription, in good order."""
    for listener in bus.listeners:
        for _ in range(_MORE_THAN_THE_BACKLOG):
            listener(ToolsListChanged())
    return "ended"


if __name__ == "__main__":
    server.run("streamable-http", port=int(sys.argv[2]))
