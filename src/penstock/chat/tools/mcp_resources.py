"""Resources of an MCP server as two tools: one lists them, one reads one.

Nothing of them is put before the model unasked: a server cannot speak to it by what it attaches.
A tenant is granted them as it is granted tools (`crm.list_resources`, `crm.read_resource`).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from mcp import Client
from mcp.types import Resource

from penstock.chat.ports import Tool
from penstock.chat.sources import shown_name
from penstock.chat.tools.mcp_tool import text_of_resource
from penstock.ground.errors import ToolError

_MAX_SHOWN = 200
_MAX_PAGES = 10
T = TypeVar("T")


class Server(Protocol):
    """Lends its connection."""

    async def ask(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do `work`; raises `ToolError` where the server is away."""


def resource_tools(server: Server, source: str) -> tuple[Tool, ...]:
    """Return the two tools."""
    return (_ListResources(server, source), _ReadResource(server, source))


def _definition(name: str, about: str, properties: Mapping[str, object]) -> Mapping[str, object]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    function = {"name": name, "description": about, "parameters": parameters}
    return {"type": "function", "function": function}


class _ListResources:
    idempotent = True

    def __init__(self, server: Server, source: str) -> None:
        self._server = server
        self.name = shown_name(source, "list_resources")
        about = f"List what {source} has to read: documents, records and the like."
        self.definition = _definition(self.name, about, {})

    async def call(self, arguments: Mapping[str, object]) -> object:
        async def listed(client: Client) -> list[Resource]:
            found: list[Resource] = []
            cursor: str | None = None
            for _ in range(_MAX_PAGES):
                page = await client.list_resources(cursor=cursor)
                found += page.resources
                if page.next_cursor in (None, cursor) or len(found) > _MAX_SHOWN:
                    break
                cursor = page.next_cursor
            return found

        found = await self._server.ask(listed)
        rows = [
            {"uri": str(each.uri), "name": each.title or each.name, "about": each.description}
            for each in found[:_MAX_SHOWN]
        ]
        shown = [{key: value for key, value in row.items() if value} for row in rows]
        return {"resources": shown} | ({"more": True} if len(found) > _MAX_SHOWN else {})


class _ReadResource:
    idempotent = True

    def __init__(self, server: Server, source: str) -> None:
        self._server = server
        self.name = shown_name(source, "read_resource")
        uri = {"uri": {"type": "string", "description": "As the list of resources has it."}}
        self.definition = _definition(self.name, f"Read one of the resources of {source}.", uri)

    async def call(self, arguments: Mapping[str, object]) -> object:
        uri = str(arguments["uri"])
        found = await self._server.ask(lambda client: client.read_resource(uri))
        if not found.contents:
            raise ToolError("there is nothing at that address")
        return {"text": "\n".join(text_of_resource(each) for each in found.contents)}
