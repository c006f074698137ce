"""What is said when a database cannot be used: why, and never with its address or password."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.fakes.databases import Postgres

from penstock.ground.errors import StoreUnavailable
from penstock.registry.stores.database import Database
from penstock.registry.stores.troubles import reason_of


async def said_of(url: str, *statements: str) -> str:
    """What is said of a database that cannot be opened, or where the last statement fails."""
    database = Database(url)
    try:
        with pytest.raises(StoreUnavailable) as failed:
            await _use(database, statements)
    finally:
        await database.close()
    assert "hush" not in str(failed.value)
    return str(failed.value)


async def _use(database: Database, statements: Sequence[str]) -> None:
    if not statements:
        await database.create()
    async with database.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("penstock:hush@{server}/nowhere", "there is no such database on that server"),
        ("nobody:hush@{server}/postgres", "it does not accept this user or password"),
        ("penstock:hush@127.0.0.1:1/postgres", "nobody listens at its address"),
        ("penstock:hush@no-such-host.invalid/postgres", "its host is not known by that name"),
    ],
)
async def test_a_server_that_cannot_be_used(server: Postgres, address: str, why: str) -> None:
    url = f"postgresql://{address.format(server=f'127.0.0.1:{server.port}')}"
    assert why in await said_of(url)


async def test_a_standby_and_a_missing_permission(server: Postgres) -> None:
    url = server.make("troubles")
    read_only = await said_of(url, "SET TRANSACTION READ ONLY", "CREATE TABLE a (b int)")
    assert "it can only be read" in read_only
    denied = await said_of(url, "CREATE ROLE low", "SET ROLE low", "CREATE TABLE pg_catalog.a ()")
    assert "its user lacks a permission" in denied


async def test_after_a_fail_over_new_connections_are_made(server: Postgres) -> None:
    """What was the primary can only be read: who went on with its connections would for ever."""
    database = Database(server.make("failover"))
    await database.create()

    async def connection_of(*statements: str) -> int:
        async with database.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
            found = await connection.execute(text("SELECT pg_backend_pid()"))
            return int(found.scalar_one())

    before = await connection_of()
    assert await connection_of() == before
    with pytest.raises(StoreUnavailable):
        await connection_of("SET TRANSACTION READ ONLY", "CREATE TABLE a (b int)")
    assert await connection_of() != before
    await database.close()


async def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database " * 500)
    assert "the file is no SQLite database" in await said_of(str(damaged))
    assert "its path is a folder" in await said_of(str(tmp_path))
    assert "does not exist" in await said_of(str(tmp_path / "none" / "r.db"))


async def test_a_file_that_is_full(tmp_path: Path) -> None:
    path = str(tmp_path / "r.db")
    database = Database(path)
    await database.create()
    await database.close()
    fill = "INSERT INTO a VALUES (zeroblob(1000000))"
    said = await said_of(path, "PRAGMA max_page_count = 200", "CREATE TABLE a (b)", fill)
    assert "the disk is full (OperationalError)" in said


def test_what_nobody_knows_is_told_by_its_kind() -> None:
    assert reason_of(RuntimeError("postgresql://u:hush@h/d")) == "RuntimeError"
    assert reason_of(sqlite3.ProgrammingError("hush")) == "ProgrammingError"
    assert reason_of(OSError(28, "hush")) == "No space left on device (OSError)"
