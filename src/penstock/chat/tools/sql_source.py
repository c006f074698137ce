"""A source of database queries."""

from collections.abc import Mapping, Sequence

from penstock.chat.ports import Tool
from penstock.chat.sources import TenantSource
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.handing_out import awaiting, fenced, secret_of
from penstock.chat.tools.sql_tool import Database, SqlTool


def database_address(told: SourceSettings, environment: Mapping[str, str]) -> str:
    """Return the file's path or the database's URL.

    Raises:
        UserError: the variable that holds it is not set.
    """
    return secret_of(told, "", environment) or told.url or ""


def sql_source(told: SourceSettings, database: Database) -> TenantSource:
    """Return the source.

    Raises:
        UserError: a query and its parameters do not agree.
    """

    def make(tenant: str) -> Sequence[Tool]:
        return fenced(told, tenant, [SqlTool(each, database, tenant) for each in told.queries])

    make("")
    return TenantSource(told.name, make, awaiting(told))
