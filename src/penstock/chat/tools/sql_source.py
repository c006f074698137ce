"""A source of database queries; this module makes one over an SQLite file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from penstock.chat.ports import Tool
from penstock.chat.sources import TenantSource
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.handing_out import awaiting, check_approve, fenced
from penstock.chat.tools.sql_tool import Database, SqliteDatabase, SqlTool


def make_source(told: SourceSettings, environment: Mapping[str, str]) -> TenantSource:
    """Return the source over the SQLite file at `url`; raises as `over` does, or if it is none."""
    return over(told, SqliteDatabase(Path(told.url or "")))


def over(told: SourceSettings, database: Database) -> TenantSource:
    """Return the source of queries of `database`.

    Raises:
        UserError: a query and its parameters do not agree.
    """

    def make(tenant: str) -> Sequence[Tool]:
        return fenced(told, tenant, [SqlTool(each, database, tenant) for each in told.queries])

    make("")
    check_approve(told, [each.name for each in told.queries])
    return TenantSource(told.name, make, awaiting(told))
