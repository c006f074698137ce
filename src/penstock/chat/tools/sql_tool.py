"""Queries of a database as tools: the SQL is the operator's, the model fills in values.

Values reach SQL as parameters only; `:tenant` is bound here. The transaction can only read, a
statement is stopped when its time is up, and rows are counted while they come. On PostgreSQL the
tenant's name is also the setting `penstock.tenant` of the transaction, for row-level security:
`USING (org = current_setting('penstock.tenant'))`. The model writes no SQL, because a statement of
its own could change that setting.
"""

import asyncio
import re
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol
from uuid import UUID

from penstock.chat.tools.described import Query
from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import ToolError, UserError

TENANT = "tenant"
TIMEOUT_S = 5.0
MAX_ROWS = 100
_STEPS = 5_000
_PLACE = re.compile(r"(?<!:):([A-Za-z_][A-Za-z0-9_]*)|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*")
_TYPES = ("string", "integer", "number", "boolean")

Row = dict[str, object]


class Database(Protocol):
    """Runs one reading query."""

    async def rows(self, sql: str, values: Mapping[str, object], tenant: str) -> Sequence[Row]:
        """Return at most `MAX_ROWS` + 1 rows; raises `ToolError`."""


def places_in(sql: str) -> tuple[str, ...]:
    """Return the named places of `sql`, outside of strings and comments, each once."""
    return tuple(dict.fromkeys(found[1] for found in _PLACE.finditer(sql) if found[1]))


def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return `sql` with `$1` for its first place and so on, and the places in that order."""
    names = places_in(sql)

    def number(found: re.Match[str]) -> str:
        return f"${names.index(found[1]) + 1}" if found[1] else found[0]

    return _PLACE.sub(number, sql), names


class SqlTool:
    """Satisfies `Tool`. Answers `{"count", "rows": [{column: value}]}`, and `more` if cut."""

    idempotent = True

    def __init__(self, query: Query, database: Database, tenant: str) -> None:
        """Check the query.

        Raises:
            UserError: a place has no parameter, or a parameter no place or no usable type.
        """
        needed = set(places_in(query.sql)) - {TENANT}
        if needed != set(query.parameters):
            odd = ", ".join(sorted(needed ^ set(query.parameters)))
            raise UserError(
                f"the query {query.name} and its parameters do not agree on {odd}",
                fix="Give every place `:NAME` of the SQL a parameter, and no other.",
            )
        if wrong := [kind for kind in query.parameters.values() if kind not in _TYPES]:
            raise UserError(
                f"the query {query.name} has a parameter of type {wrong[0]}",
                fix=f"There are: {', '.join(_TYPES)}",
            )
        self._query, self._database, self._tenant = query, database, tenant
        self.name = query.name
        self.definition: Mapping[str, object] = {
            "type": "function",
            "function": {
                "name": query.name,
                "description": query.description,
                "parameters": {
                    "type": "object",
                    "properties": {key: {"type": kind} for key, kind in query.parameters.items()},
                    "required": list(query.parameters),
                    "additionalProperties": False,
                },
            },
        }

    async def call(self, arguments: Mapping[str, object]) -> object:
        """Run the query; raises `ToolError` if the database fails or is too slow."""
        values = {key: arguments[key] for key in self._query.parameters}
        if TENANT in places_in(self._query.sql):
            values[TENANT] = self._tenant
        rows = await self._database.rows(self._query.sql, values, self._tenant)
        shown = [{key: _plain(value) for key, value in row.items()} for row in rows[:MAX_ROWS]]
        result: dict[str, object] = {"count": len(shown), "rows": shown}
        return result | {"more": True} if len(rows) > MAX_ROWS else result


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta | UUID):
        return str(value)
    raise ToolError(f"the query gives values of type {type(value).__name__}, which is no text")


class SqliteDatabase:
    """An SQLite file, opened read-only for each query."""

    def __init__(self, path: Path, clock: Clock = monotonic) -> None:
        """Look whether it can be read.

        Raises:
            UserError: it cannot.
        """
        self._address = f"{path.absolute().as_uri()}?mode=ro"
        self._clock = clock
        try:
            with closing(sqlite3.connect(self._address, uri=True)) as database:
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            raise UserError(f"{path} is no SQLite file", why=str(error)) from error

    async def rows(self, sql: str, values: Mapping[str, object], tenant: str) -> Sequence[Row]:
        """Return the rows; see `Database.rows`."""
        stopped = threading.Event()
        try:
            return await asyncio.to_thread(self._rows, sql, values, stopped)
        finally:
            stopped.set()

    def _rows(
        self, sql: str, values: Mapping[str, object], stopped: threading.Event
    ) -> Sequence[Row]:
        deadline_s = self._clock() + TIMEOUT_S
        try:
            with closing(sqlite3.connect(self._address, uri=True)) as database:
                database.execute("PRAGMA query_only = ON")
                database.set_authorizer(_only_reading)
                database.set_progress_handler(
                    lambda: stopped.is_set() or self._clock() >= deadline_s, _STEPS
                )
                cursor = database.execute(sql, dict(values))
                columns = [column[0] for column in cursor.description or ()]
                found = cursor.fetchmany(MAX_ROWS + 1)
        except sqlite3.Error as error:
            late = stopped.is_set() or self._clock() >= deadline_s
            raise ToolError("the query took too long" if late else "the query failed") from error
        return [dict(zip(columns, row, strict=True)) for row in found]


def _only_reading(action: int, *_: object) -> int:
    reading = (
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    )
    return sqlite3.SQLITE_OK if action in reading else sqlite3.SQLITE_DENY
