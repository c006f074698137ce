"""The tools granted to a turn, with their schemas compiled once.

`jsonschema-rs` checks the arguments: it takes every JSON Schema draft (MCP servers write
2020-12), never turns a schema into Python code, and bounds the work of a regular expression, which
matters because schemas may come from strangers. Its one danger, fetching remote references, is
switched off. It adds 5 ms and 7 MB to a process.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

import jsonschema_rs
import msgspec

from penstock.chat.ports import Tool
from penstock.ground.errors import RequestError

_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"a tool's schema may not refer to {uri}")


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
        self._validators = {tool.name: _validator(tool) for tool in tools}
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
                f"the gateway has a tool of its own called {', '.join(taken)}",
                fix="Give yours another name.",
                param="tools",
                code="tool_name_taken",
            )
        if not client_tools:
            return self.definitions
        ours = msgspec.json.decode(self.definitions, type=list[msgspec.Raw])
        return msgspec.Raw(msgspec.json.encode([*ours, *client_tools.values()]))

    def complaint(self, name: str, arguments: Mapping[str, object]) -> str | None:
        """Say why the arguments do not fit the tool's schema; None if they do."""
        error = next(iter(self._validators[name].iter_errors(arguments)), None)
        if error is None:
            return None
        place = ".".join(str(step) for step in error.instance_path)
        return f"{error.message} (at {place})" if place else error.message


def _validator(tool: Tool) -> jsonschema_rs.Validator:
    function = tool.definition.get("function")
    if not isinstance(function, Mapping) or function.get("name") != tool.name:
        raise ValueError(f"the definition of {tool.name} does not define a function {tool.name}")
    schema = function.get("parameters", {"type": "object"})
    if not isinstance(schema, dict):
        raise ValueError(f"the parameters of {tool.name} are no JSON schema")
    try:
        return jsonschema_rs.validator_for(
            schema, retriever=_refuse, pattern_options=_PATTERNS, validate_formats=False
        )
    except ValueError as error:
        raise ValueError(f"the schema of {tool.name} cannot be used: {error}") from error
