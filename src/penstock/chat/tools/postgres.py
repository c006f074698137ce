"""PostgreSQL behind `sql_tool`: a small pool, and transactions that can only read."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import asyncpg  # type: ignore[import-untyped]

from penstock.chat.sources import TenantSource
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.handing_out import secret_of
from penstock.chat.tools.sql_source import over
from penstock.chat.tools.sql_tool import MAX_ROWS, TIMEOUT_S, Row, numbered
from penstock.ground.errors import ToolError, UserError

_log = logging.getLogger(__name__)

_CONNECTIONS = 5
_OPEN_S = 5.0


def make_source(told: SourceSettings, environment: Mapping[str, str]) -> TenantSource:
    """Return the source over the database whose URL is the source's secret.

    Raises:
        UserError: it is no URL of PostgreSQL, or a query and its parameters do not agree.
    """
    url = secret_of(told, "", environment) or ""
    if not url.startswith(("postgresql://", "postgres://")):
        raise UserError(
            f"`tools.{told.name}.database_url` is no address of a PostgreSQL database",
            fix="Write postgresql://user:password@host/name, or `database: FILE` for SQLite.",
        )
    return over(told, PostgresDatabase(url))


class PostgresDatabase:
    """Satisfies `sql_tool.Database`; connects when it is first asked."""

    def __init__(self, url: str) -> None:
        """`url` may hold a password; it is never shown."""
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def rows(self, sql: str, values: Mapping[str, object], tenant: str) -> Sequence[Row]:
        """Return the rows; see `Database.rows`."""
        text, names = numbered(sql)
        try:
            async with asyncio.timeout(_OPEN_S + TIMEOUT_S):
                pool = await self._opened()
                async with pool.acquire() as connection:
                    return await self._read(
                        connection, text, [values[name] for name in names], tenant
                    )
        except (asyncpg.QueryCanceledError, TimeoutError) as error:
            raise ToolError("the query took too long") from error
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
            _log.warning("a database cannot be reached: %s: %s", type(error).__name__, error)
            raise ToolError("the database cannot be reached", transient=True) from error
        except (asyncpg.PostgresError, ValueError) as error:
            # Its message may hold what the query asked for.
            _log.warning("a query failed: %s", type(error).__name__)
            raise ToolError("the query failed") from error

    async def _read(
        self, connection: asyncpg.Connection, text: str, values: list[object], tenant: str
    ) -> Sequence[Row]:
        async with connection.transaction(readonly=True):
            # Prepared: the protocol takes one statement only, so none can be added behind it.
            await connection.execute(
                "SELECT set_config('penstock.tenant', $1, true),"
                " set_config('statement_timeout', $2, true)",
                tenant,
                str(int(TIMEOUT_S * 1000)),
            )
            cursor = await connection.cursor(text, *values)
            return [dict(row) for row in await cursor.fetch(MAX_ROWS + 1)]

    async def _opened(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url, min_size=0, max_size=_CONNECTIONS, timeout=_OPEN_S
                )
            return self._pool

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()
