"""Where tools come from, and which of them a tenant is granted.

A source gives one tool or many; a tenant is granted a source whole (`crm`) or single tools of it
(`crm.find_customer`). To the model the latter is called `crm_find_customer`, so that two sources
cannot clash. A tool as a tenant gets it is made for that tenant: with its own credentials, and
with arguments that the model neither sees nor sets.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from penstock.chat.ports import Tool
from penstock.chat.toolbox import Toolbox

_ODD = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME = 64

_log = logging.getLogger(__name__)


def shown_name(source: str, tool: str) -> str:
    """Return what the model calls a tool of a source, as OpenAI allows names to be.

    A name that is too long ends in a digest of the whole, so that two stay two.
    """
    name = _ODD.sub("_", f"{source}_{tool}")
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[: _MAX_NAME - 9]}_{hashlib.sha256(tool.encode()).hexdigest()[:8]}"


class Source(Protocol):
    """Gives tools."""

    @property
    def name(self) -> str:
        """What tenants are granted; a source of one tool has the tool's name."""

    @property
    def version(self) -> int:
        """Changes whenever the list of tools does."""

    def tools(self, tenant: str) -> Sequence[Tool]:
        """Return the tools made for `tenant`, under the names the model sees."""

    def needs_approval(self, tool: str) -> bool:
        """Whether calls of the tool wait for the user's approval."""

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Return what must run for the tools to work, until it is cancelled."""


@dataclass(frozen=True, slots=True)
class BuiltinSource:
    """One tool that is the same for every tenant."""

    tool: Tool
    approve: bool = False
    version: int = 0

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.tool.name

    def tools(self, tenant: str) -> Sequence[Tool]:
        """Return the tool."""
        return (self.tool,)

    def needs_approval(self, tool: str) -> bool:
        """Whether its calls wait."""
        return self.approve

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class TenantSource:
    """Tools made tenant by tenant, by `make`.

    `approve` holds names as the model sees them; `*` is all.
    """

    name: str
    make: Callable[[str], Sequence[Tool]]
    approve: frozenset[str] = frozenset()
    version: int = 0

    def tools(self, tenant: str) -> Sequence[Tool]:
        """Return the tools of `tenant`."""
        return self.make(tenant)

    def needs_approval(self, tool: str) -> bool:
        """Whether calls of the tool wait."""
        return "*" in self.approve or tool in self.approve

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Nothing."""
        return ()


@dataclass(slots=True)
class Toolboxes:
    """The toolbox of each tenant and grant, compiled once for each version of its sources."""

    sources: Mapping[str, Source]
    _boxes: dict[tuple[str, tuple[str, ...]], tuple[tuple[int, ...], Toolbox]] = field(
        default_factory=dict
    )

    @classmethod
    def of(cls, sources: Iterable[Source]) -> "Toolboxes":
        """Return toolboxes over `sources`."""
        return cls({source.name: source for source in sources})

    async def start(self) -> None:
        """Nothing is needed before the loops run."""

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Return what the sources need to run."""
        return [loop for source in self.sources.values() for loop in source.loops()]

    async def stop(self) -> None:
        """The loops have ended what they began."""

    def unknown(self, grants: Iterable[str]) -> list[str]:
        """Return those of `grants` whose source does not exist."""
        return [grant for grant in grants if grant.partition(".")[0] not in self.sources]

    def box(self, tenant: str, grants: tuple[str, ...]) -> Toolbox:
        """Return the tools granted; a tool that its source does not have now is left out.

        Raises:
            ValueError: two granted tools have one name, or a schema is wrong.
        """
        versions = tuple(source.version for source in self.sources.values())
        known = self._boxes.get((tenant, grants))
        if known is not None and known[0] == versions:
            return known[1]
        box = self._compile(tenant, grants)
        self._boxes[tenant, grants] = (versions, box)
        return box

    def _compile(self, tenant: str, grants: tuple[str, ...]) -> Toolbox:
        given: dict[str, Sequence[Tool]] = {}
        chosen: dict[int, Tool] = {}
        approve: set[str] = set()
        for grant in grants:
            name, _, single = grant.partition(".")
            source = self.sources.get(name)
            if source is None:
                continue
            tools = given.setdefault(name, source.tools(tenant))
            for tool in tools:
                if single and tool.name != shown_name(name, single):
                    continue
                if source.version and _is_taken(tool, chosen.values()):
                    # A server far away must not put the tenant's other tools out of action.
                    _log.warning("%s of %s is left out: its name is taken", tool.name, name)
                    continue
                chosen[id(tool)] = tool
                if source.needs_approval(tool.name):
                    approve.add(tool.name)
        return Toolbox(list(chosen.values()), approve)


def _is_taken(tool: Tool, chosen: Iterable[Tool]) -> bool:
    return any(tool.name == each.name and tool is not each for each in chosen)
