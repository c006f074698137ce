"""Queries as tools, over a real PostgreSQL with row-level security."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg  # type: ignore[import-untyped]
import pytest
from tests.fakes.databases import Postgres, postgres

from penstock.chat.tools.described import Query, SourceSettings
from penstock.chat.tools.postgres import PostgresDatabase, make_source
from penstock.chat.tools.sql_tool import SqlTool
from penstock.ground.errors import ToolError, UserError

SETUP = """
CREATE TABLE orders (id int, org text, total numeric(8, 2), made date);
INSERT INTO orders SELECT n, CASE WHEN n % 2 = 1 THEN 'org-a' ELSE 'org-b' END, n * 1.5,
                          '2026-11-01' FROM generate_series(1, 300) AS n;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON orders USING (org = current_setting('penstock.tenant'));
CREATE ROLE reader LOGIN;
GRANT SELECT, INSERT ON orders TO reader;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def address(server: Postgres) -> str:
    return server.make("orders")


@pytest.fixture
async def database(address: str) -> AsyncIterator[PostgresDatabase]:
    owner = await asyncpg.connect(address)
    if not await owner.fetchval("SELECT to_regclass('orders') IS NOT NULL"):
        await owner.execute(SETUP)
    await owner.close()
    opened = PostgresDatabase(address.replace("penstock@", "reader@"))
    yield opened
    await opened.close()


def tool(
    database: PostgresDatabase, sql: str, tenant: str = "org-a", **parameters: str
) -> SqlTool:
    return SqlTool(Query("q", "", sql, parameters), database, tenant)


async def test_rows_of_the_tenant_alone_whatever_the_query_says(
    database: PostgresDatabase,
) -> None:
    for tenant, first in (("org-a", 1), ("org-b", 2), ("org-a", 1)):
        made = tool(database, "SELECT * FROM orders WHERE id < :below ORDER BY id", tenant,
                    below="integer")  # fmt: skip
        answer = await made.call({"below": 4})
        assert isinstance(answer, dict)
        assert answer["rows"][0] == {
            "id": first, "org": tenant, "total": first * 1.5, "made": "2026-11-01"
        }  # fmt: skip
        assert {row["org"] for row in answer["rows"]} == {tenant}
    nobody = tool(database, "SELECT count(*)::int AS n FROM orders", "org-c")
    assert await nobody.call({}) == {"count": 1, "rows": [{"n": 0}]}


async def test_rows_are_bounded(database: PostgresDatabase) -> None:
    answer = await tool(database, "SELECT id FROM orders").call({})
    assert isinstance(answer, dict)
    assert (answer["count"], answer["more"]) == (100, True)


@pytest.mark.parametrize(
    "sql",
    ["INSERT INTO orders VALUES (1, 'org-a', 0, now())", "SELECT 1; SELECT 2", "SELECT nothing",
     "CREATE TEMP TABLE t (x int)"],
)  # fmt: skip
async def test_only_reading_is_possible(database: PostgresDatabase, sql: str) -> None:
    with pytest.raises(ToolError, match="failed"):
        await tool(database, sql).call({})


async def test_a_value_is_never_sql(database: PostgresDatabase) -> None:
    made = tool(database, "SELECT id FROM orders WHERE org = :org", org="string")
    assert await made.call({"org": "' OR 1=1 --"}) == {"count": 0, "rows": []}


async def test_tenants_at_the_same_time_do_not_mix(database: PostgresDatabase) -> None:
    """They share connections; what one transaction is told of its tenant ends with it."""
    tools = {org: tool(database, "SELECT DISTINCT org FROM orders", org) for org in
             ("org-a", "org-b", "org-c")}  # fmt: skip
    turns = list(tools) * 20
    answers = await asyncio.gather(*(tools[org].call({}) for org in turns))
    for org, answer in zip(turns, answers, strict=True):
        assert isinstance(answer, dict)
        assert answer["rows"] == ([{"org": org}] if org != "org-c" else [])
    async with (await database._opened()).acquire() as connection:
        left = await connection.fetchval("SELECT current_setting('penstock.tenant', true)")
    assert not left


async def test_a_query_that_is_given_up_ends_in_the_database(
    database: PostgresDatabase, address: str
) -> None:
    running = asyncio.create_task(tool(database, "SELECT pg_sleep(30)::text AS s").call({}))
    owner = await asyncpg.connect(address)
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%'"
        " AND state = 'active'"
    )

    async def until(count: int) -> None:
        async with asyncio.timeout(25):
            while await owner.fetchval(asked) != count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    try:
        await until(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(0)
        assert await tool(database, "SELECT 1 AS one").call({}) == {
            "count": 1,
            "rows": [{"one": 1}],
        }
    finally:
        await owner.close()


async def test_a_slow_query_is_stopped(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.chat.tools.postgres.TIMEOUT_S", 0.1)
    async with asyncio.timeout(15):  # by the database itself, long before we would give up
        with pytest.raises(ToolError, match="too long"):
            await tool(database, "SELECT pg_sleep(20)::text AS s").call({})


@pytest.mark.parametrize("url", ["sqlite:///orders.db", "host=db password=secret"])
def test_what_is_no_postgresql_is_refused_at_the_start(url: str) -> None:
    told = SourceSettings("orders", queries=(Query("q", "", "SELECT 1 AS one"),), secret_env="URL")
    with pytest.raises(UserError, match=r"tools\.orders\.database_url") as caught:
        make_source(told, {"URL": url})
    assert "secret" not in str(caught.value)


async def test_a_database_that_is_away_is_told(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = SourceSettings("orders", queries=(Query("q", "", "SELECT 1 AS one"),), secret_env="URL")
    source = make_source(told, {"URL": "postgresql://u:secret@127.0.0.1:9/none"})
    (made,) = source.tools("org-a")
    with pytest.raises(ToolError, match="cannot be reached") as caught:
        await made.call({})
    assert "secret" not in str(caught.value) + caplog.text
    assert "cannot be reached: ConnectionRefusedError" in caplog.text
