"""Tools that are told, not written: what the gateway's settings hold of them."""

from typing import Literal

import msgspec

Place = Literal["path", "query", "header", "body"]
BODY = "body"
"""The argument that is the whole body, where the body is not an object with properties."""


class Operation(msgspec.Struct, frozen=True):
    """One HTTP operation: `places` says where each argument goes, `parameters` is their schema."""

    name: str
    description: str
    method: str
    path: str
    parameters: dict[str, object]
    places: dict[str, Place] = {}


class Query(msgspec.Struct, frozen=True):
    """One SQL query with named places (`:status`); the model fills them and never writes SQL.

    `parameters` maps each place the model fills to its JSON type. `:tenant` is the tenant's name.
    """

    name: str
    description: str
    sql: str
    parameters: dict[str, str] = {}


class TenantAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one tenant has of its own at a source of tools."""

    secret_env: str | None = None
    """Environment variable that holds its credential; none means the source's own."""
    arguments: dict[str, str] = {}
    """Arguments that are set for it and that the model neither sees nor sets."""


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source of tools, of one kind: `operations`, `mcp_url`, `mcp_command`, `queries`, `python`.

    In `arguments`, `{tenant}` stands for the tenant's name.
    """

    name: str
    operations: tuple[Operation, ...] = ()
    """HTTP operations at `url`."""
    url: str | None = None
    mcp_url: str | None = None
    mcp_command: tuple[str, ...] = ()
    queries: tuple[Query, ...] = ()
    """Queries of the database at `url`, or at the URL in the variable `secret_env`."""
    python: str | None = None
    """Entry point of the group `penstock.tools`."""
    only: tuple[str, ...] = ()
    """Tools of an MCP server that are used; none means all."""
    resources: bool = False
    """Whether the resources of an MCP server can be listed and read, by two more tools."""
    approve: tuple[str, ...] = ()
    """Tools whose calls wait for approval, without the source's name; `*` is all."""
    hosts: tuple[str, ...] = ()
    """Further hosts that may be connected to."""
    private: bool = False
    """Whether addresses off the public internet may be connected to."""
    header: str = "Authorization"
    """Header that carries the credential; `Authorization` gets `Bearer` before it."""
    variable: str = "API_KEY"
    """Environment variable in which `mcp_command` gets the credential."""
    secret_env: str | None = None
    arguments: dict[str, str] = {}
    isolation: str | None = None
    """Key that, wherever it is found in results, must hold the tenant's value: that of the
    argument of this name, or else the tenant's name."""
    tenants: dict[str, TenantAccess] = {}
