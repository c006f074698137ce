"""The tools granted to a turn, with their schemas compiled once."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from penstock.chat.ports import Tool
from penstock.chat.schemas import Schema, SchemaError
from penstock.ground.errors import RequestError


class Toolbox:
    """Tools by name. Immutable: make it once for a route, share it among turns."""

    def __init__(self, tools: Sequence[Tool] = (), approve: Collection[str] = ()) -> None:
        """Compile the schemas; calls of the tools in `approve` wait for the user's approval.

        Raises:
            ValueError: two tools have one name, a definition names another tool than its own, or
                a schema is wrong.
        """
        self._tools = {tool.name: tool for tool in tools}
        if len(self._tools) != len(tools):
            names = [tool.name for tool in tools]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"two tools are called {', '.join(twice)}")
        self._schemas = {tool.name: _schema(tool) for tool in tools}
        self._approve = frozenset(approve)
        self.definitions = msgspec.Raw(msgspec.json.encode([tool.definition for tool in tools]))

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools, in the order they were given."""
        return tuple(self._tools)

    def get(self, name: str) -> Tool | None:
        """Return the tool of that name, if there is one."""
        return self._tools.get(name)

    def needs_approval(self, name: str) -> bool:
        """Whether a call of that tool waits for the user's approval."""
        return name in self._approve

    def with_client_tools(self, client_tools: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
        """Return the JSON of the gateway's definitions and the client's.

        Raises:
            RequestError: the client's tool has the name of one of the gateway's.
        """
        if taken := sorted(name for name in client_tools if name in self._tools):
            raise RequestError(
                f"a tool in `tools` is called as one of the gateway's: {', '.join(taken)}",
                why="the model calls tools by name, and could not say which of the two it means",
                fix="Rename yours, or leave it out: the gateway offers and runs its own "
                "(GET /tools lists them).",
                param="tools",
                code="tool_name_taken",
            )
        if not client_tools:
            return self.definitions
        ours = msgspec.json.decode(self.definitions, type=list[msgspec.Raw])
        return msgspec.Raw(msgspec.json.encode([*ours, *client_tools.values()]))

    def problems(self, name: str, arguments: Mapping[str, object]) -> str:
        """Say what in the arguments does not fit the tool's schema; empty if they do."""
        return self._schemas[name].problems(arguments)


def _schema(tool: Tool) -> Schema:
    function = tool.definition.get("function")
    if not isinstance(function, Mapping) or function.get("name") != tool.name:
        raise ValueError(f"the definition of {tool.name} does not define a function {tool.name}")
    schema = function.get("parameters", {"type": "object"})
    if not isinstance(schema, dict):
        raise ValueError(f"the parameters of {tool.name} are no JSON schema")
    try:
        return Schema(schema)
    except SchemaError as error:
        where = f" (at {error.pointer})" if error.pointer else ""
        raise ValueError(f"the schema of {tool.name} cannot be used: {error}{where}") from error
