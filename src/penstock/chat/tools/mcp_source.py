"""Tools of an MCP server, by the official SDK: streamable HTTP, SSE or a process's stdio.

A tenant with a credential of its own has a connection of its own (`mcp_link`); all others share
one.
"""

import logging
from collections.abc import Coroutine, Mapping, Sequence

from penstock.chat.ports import Tool
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.handing_out import awaiting, check_secrets, fenced, secret_of
from penstock.chat.tools.mcp_link import Link
from penstock.chat.tools.mcp_transport import transport_of


def make_source(told: SourceSettings, environment: Mapping[str, str]) -> "McpSource":
    """Return the source; nothing is connected before its loops run.

    Raises:
        UserError: a credential is missing.
    """
    # The SDK logs lost connections with whole tracebacks, addresses and all; `Link` says it in a
    # line.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    check_secrets(told, environment)
    own = [name for name, access in told.tenants.items() if access.secret_env]
    links = {
        tenant: Link(told, transport_of(told, secret_of(told, tenant, environment)))
        for tenant in ("", *own)
    }
    return McpSource(told, links)


class McpSource:
    """Satisfies `sources.Source`; `links` are connections by tenant, "" for all others."""

    def __init__(self, told: SourceSettings, links: Mapping[str, Link]) -> None:
        self.name = told.name
        self._told, self._links = told, links
        self._approve = awaiting(told)

    @property
    def version(self) -> int:
        """How often any of the lists has changed."""
        return sum(link.version for link in self._links.values())

    def tools(self, tenant: str) -> Sequence[Tool]:
        """Return the tools the server has now."""
        link = self._links.get(tenant) or self._links[""]
        return fenced(self._told, tenant, link.tools)

    def needs_approval(self, tool: str) -> bool:
        """Whether calls of the tool wait."""
        return "*" in self._approve or tool in self._approve

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Return what keeps the connections."""
        return [link.run() for link in self._links.values()]
