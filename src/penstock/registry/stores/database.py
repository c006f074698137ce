"""The connection to SQLite or PostgreSQL, and what differs between the two.

A transaction that must not race another one begins with a write to the row they share: that takes
PostgreSQL's row lock, and SQLite's only write lock.
"""

import itertools
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from penstock.ground.errors import RequestError, StoreUnavailable, UserError
from penstock.registry.stores.tables import metadata
from penstock.registry.stores.upgrade import add_missing_columns

_SQLITE_WAIT_S = 10
_POSTGRES_WAIT_S = 5
_ROWS = (1000, 200, 40, 8, 1)
"""Rows of one INSERT: of few sizes, so that the driver finds its statement ready made."""
_PASSING = ("08", "53", "57P", "40")
"""How PostgreSQL's codes begin where trying again may help: the connection is lost, it is full, it
stops or starts, or another transaction was in the way."""
_ALONE = "SELECT pg_advisory_xact_lock(7362901)"


class Database:
    """Opens transactions; every failure of the database is a `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's (`postgresql://...`), or the path of an SQLite file.

        Raises:
            UserError: it is neither.
        """
        self._engine = _engine(_parsed(url))
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        self._inserts: dict[tuple[str, int], str] = {}

    async def create(self) -> None:
        """Make what tables and columns are missing; an SQLite file is its owner's alone."""
        if self.is_sqlite and (path := self._engine.url.database):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        async with self.begin() as connection:
            # Replicas that start together would trip over each other.
            alone = "BEGIN IMMEDIATE" if self.is_sqlite else _ALONE
            await connection.exec_driver_sql(alone)
            await connection.run_sync(metadata.create_all)
            await connection.run_sync(add_missing_columns, metadata)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Run a transaction; it is committed when the block ends well.

        Raises:
            StoreUnavailable: the database cannot be reached or has failed.
            RequestError: PostgreSQL does not take a value, as a text with a NUL in it.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, OSError, TimeoutError) as error:
            raise _unavailable(error) from None
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None) or ""
            if error.connection_invalidated or state.startswith(_PASSING):
                raise _unavailable(error) from None
            if state.startswith("22"):
                raise RequestError(
                    "a text or number in this request cannot be kept",
                    why="it has a character, or a size, that the database does not know",
                    code="invalid_value",
                ) from None
            raise

    def insert(self, table: Table) -> "sqlite.Insert | postgresql.Insert":
        """Return an INSERT that knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def insert_many(
        self, connection: AsyncConnection, table: Table, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert rows given in the order of the columns, many in each statement.

        A statement a row would cost ten times as much, and SQLite's driver would ask the busy
        event loop for the interpreter once a row.
        """
        start = 0
        for size in _ROWS:
            while len(rows) - start >= size:
                flat = tuple(itertools.chain.from_iterable(rows[start : start + size]))
                await connection.exec_driver_sql(self._insert_sql(table, size), flat)
                start += size

    def _insert_sql(self, table: Table, rows: int) -> str:
        made = self._inserts.get((table.name, rows))
        if made is None:
            made = self._inserts[table.name, rows] = self._make_insert(table, rows)
        return made

    def _make_insert(self, table: Table, rows: int) -> str:
        width = len(table.columns)
        if self.is_sqlite:
            row = f"({','.join('?' * width)})"
            values = ",".join([row] * rows)
        else:
            numbers = [f"${number}" for number in range(1, width * rows + 1)]
            parts = (numbers[at : at + width] for at in range(0, len(numbers), width))
            values = ",".join(f"({','.join(part)})" for part in parts)
        names = ",".join(table.columns.keys())
        return f"INSERT INTO {table.name} ({names}) VALUES {values}"  # noqa: S608  names are ours

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _parsed(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite+aiosqlite", database=str(Path(url).absolute()))
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UserError("the registry's address is no database URL") from None
    drivers = {
        "sqlite": "sqlite+aiosqlite",
        "postgresql": "postgresql+asyncpg",
        "postgres": "postgresql+asyncpg",
    }
    if parsed.drivername not in (*drivers, *drivers.values()):
        raise UserError(
            f"the registry cannot use {parsed.drivername!r}",
            fix="Use postgresql://user:password@host/name, or the path of an SQLite file",
        )
    return parsed.set(drivername=drivers.get(parsed.drivername, parsed.drivername))


def _engine(url: URL) -> AsyncEngine:
    if url.drivername.startswith("sqlite"):
        engine = create_async_engine(
            url, connect_args={"timeout": _SQLITE_WAIT_S}, hide_parameters=True
        )
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    return create_async_engine(
        url,
        connect_args={"timeout": _POSTGRES_WAIT_S, "command_timeout": _POSTGRES_WAIT_S},
        pool_size=4,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _prepare_sqlite(connection: sqlite3.Connection, record: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 10000"):
        connection.execute(f"PRAGMA {pragma}")


def _unavailable(error: Exception) -> StoreUnavailable:
    # The driver's message may hold the address with its password: only its kind is told.
    cause = getattr(error, "orig", None) or error
    return StoreUnavailable("the registry's database cannot be used", why=type(cause).__name__)
