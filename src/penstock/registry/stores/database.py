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
from typing import Any

from sqlalchemy import Boolean, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from penstock.ground.clock import Clock
from penstock.ground.errors import RequestError, StoreUnavailable, UserError
from penstock.registry.stores.tables import meta, metadata
from penstock.registry.stores.troubles import is_ours_to_bear, reason_of, state_of
from penstock.registry.stores.upgrade import add_missing_columns
from penstock.registry.wall import Reading

_SQLITE_WAIT_S = 10
_POSTGRES_WAIT_S = 5
_ROWS = (1000, 200, 40, 8, 1)
"""Rows of one INSERT: of few sizes, so that the driver finds its statement ready made."""
_READ_ONLY = "25006"
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
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
            try:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            except OSError as error:
                raise _unavailable(error) from None
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
            state = state_of(error)
            if state == _READ_ONLY:  # after a fail-over, these connections are to the old primary
                await self._engine.dispose()
            if error.connection_invalidated or is_ours_to_bear(error):
                raise _unavailable(error) from None
            if state.startswith("22"):
                raise RequestError(
                    "a text or number in this request cannot be kept",
                    why="it has a character, or a size, that the database does not know",
                    code="invalid_value",
                ) from None
            raise

    async def read_clock(self, clock: Clock) -> Reading:
        """TimeSource: read the server's clock; SQLite has none but this machine's.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        async with self.begin() as connection:
            asked_s = clock()
            there_s = (await connection.exec_driver_sql(_NOW)).scalar_one()
            return Reading(asked_s, float(there_s), clock())

    def insert(self, table: Table) -> "sqlite.Insert | postgresql.Insert":
        """Return an INSERT that knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def take_turn(self, connection: AsyncConnection, name: str) -> int:
        """Let nobody else who takes a turn of this name go on before this transaction has ended.

        It must be the transaction's first statement. Returns the turn's number, from 1.
        """
        first = self.insert(meta).values(name=name, value=1)
        turn = first.on_conflict_do_update(
            index_elements=["name"], set_={"value": meta.c.value + 1}
        ).returning(meta.c.value)
        return int((await connection.execute(turn)).scalar_one())

    async def insert_many(
        self, connection: AsyncConnection, table: Table, rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Insert rows given in the order of the columns, many in each statement.

        A statement a row would cost ten times as much, and SQLite's driver would ask the busy
        event loop for the interpreter once a row. That driver also looks for what makes a value
        of a boolean, each time, for longer than all else of the row takes: it is given numbers.
        """
        start, width = 0, len(table.columns)
        flags = [n for n, column in enumerate(table.columns) if isinstance(column.type, Boolean)]
        for size in _ROWS:
            while len(rows) - start >= size:
                flat: list[Any] = list(itertools.chain.from_iterable(rows[start : start + size]))
                for at in flags if self.is_sqlite else ():
                    flat[at::width] = map(int, flat[at::width])
                await connection.exec_driver_sql(self._insert_sql(table, size), tuple(flat))
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
        event.listen(engine.sync_engine, "invalidate", _roll_back)
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


def _roll_back(connection: DBAPIConnection, record: object, error: BaseException | None) -> None:
    """Let go of the file where a task is cancelled in the middle of a transaction.

    Closing the connection alone leaves it open, and the file locked for everybody, as long as
    anything still refers to a cursor: the cancelled task's traceback does.
    """
    connection.rollback()


def _unavailable(error: Exception) -> StoreUnavailable:
    return StoreUnavailable("the registry's database cannot be used", why=reason_of(error))
