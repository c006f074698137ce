"""A tool in one tenant's hands: a name of its own, arguments set here, results looked at.

Arguments that Penstock sets are taken out of the schema the model is shown, and laid over
whatever it writes. Where the results name the tenant they belong to, every such name in them is
checked after the call: a service that mixes tenants up is caught here, and its answer is not
shown. Text that is JSON is read as JSON, for a tenant's name may stand in it as well.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from penstock.chat.ports import Tool
from penstock.chat.results import Rich
from penstock.ground.errors import ToolError

_log = logging.getLogger(__name__)
_MAX_DEPTH = 64
_JSON_BEGINS = ("{", "[", '"')


@dataclass(frozen=True, slots=True)
class Isolation:
    """In results, every value of a key called `key` must be `value`."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class TenantTool:
    """Satisfies `Tool`: `inner` under the name `name`, with `arguments` set by Penstock."""

    inner: Tool
    name: str
    arguments: Mapping[str, object] = field(default_factory=dict, repr=False)
    isolation: Isolation | None = None

    @property
    def idempotent(self) -> bool:
        """As the inner tool says."""
        return self.inner.idempotent

    @property
    def definition(self) -> Mapping[str, object]:
        """The inner definition without the arguments that are set here."""
        function = self.inner.definition["function"]
        assert isinstance(function, Mapping)  # noqa: S101 - the toolbox checks it as well
        parameters = _without(function.get("parameters", {"type": "object"}), self.arguments)
        return {
            "type": "function",
            "function": {**function, "name": self.name, "parameters": parameters},
        }

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Run it; raises `ToolError` if the result holds another tenant's data."""
        if meddled := sorted(arguments.keys() & self.arguments.keys()):
            told = ", ".join(meddled)
            _log.warning("the model set %s of tool %s, which is set here", told, self.name)
        result = await self.inner.call({**arguments, **self.arguments})
        if self.isolation is None:
            return result
        if isinstance(result, Rich):
            result = result.value  # its other forms could hold what this one does not
        if not _belongs(result, self.isolation, 0):
            _log.error("tool %s answered with data of another tenant; not shown", self.name)
            raise ToolError("the result was withheld, because it is not this tenant's")
        return result


def _without(parameters: object, names: Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(parameters, Mapping):
        return {"type": "object"}
    schema = dict(parameters)
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        schema["properties"] = {key: kind for key, kind in properties.items() if key not in names}
    required = schema.get("required")
    if isinstance(required, list | tuple):
        schema["required"] = [name for name in required if name not in names]
    return schema


def _belongs(value: object, isolation: Isolation, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        return False
    if isinstance(value, Mapping):
        mine = isolation.key not in value or str(value[isolation.key]) == isolation.value
        return mine and all(_belongs(each, isolation, depth + 1) for each in value.values())
    if isinstance(value, list | tuple):
        return all(_belongs(each, isolation, depth + 1) for each in value)
    if isinstance(value, str) and value.lstrip()[:1] in _JSON_BEGINS:
        try:
            return _belongs(msgspec.json.decode(value), isolation, depth + 1)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return True
    return True
