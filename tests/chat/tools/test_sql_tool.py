"""Queries as tools, over a real SQLite file."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from penstock.chat.tools.described import Query
from penstock.chat.tools.sql_tool import SqliteDatabase, SqlTool, numbered, places_in
from penstock.ground.errors import ToolError, UserError

ORDERS = Query(
    "orders_find",
    "Orders in a state",
    "SELECT id, org, total FROM orders WHERE org = :tenant AND state = :state ORDER BY id",
    {"state": "string"},
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER, org TEXT, state TEXT, total REAL)")
        rows = [(n, "org-a" if n % 2 else "org-b", "open", n * 1.5) for n in range(1, 301)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
    return path


def tool(file: Path, query: Query = ORDERS, tenant: str = "org-a") -> SqlTool:
    return SqlTool(query, SqliteDatabase(file), tenant)


async def test_a_tenant_finds_its_own_rows_only(file: Path) -> None:
    for tenant, first in (("org-a", 1), ("org-b", 2)):
        answer = await tool(file, tenant=tenant).call({"state": "open"})
        assert isinstance(answer, dict)
        assert answer["rows"][0] == {"id": first, "org": tenant, "total": first * 1.5}
        assert {row["org"] for row in answer["rows"]} == {tenant}
        assert (answer["count"], answer["more"]) == (100, True)
    assert await tool(file, tenant="org-c").call({"state": "open"}) == {"count": 0, "rows": []}


@pytest.mark.parametrize("value", ["' OR 1=1 --", "open'; DROP TABLE orders; --", ":tenant", "%"])
async def test_a_value_never_becomes_sql(file: Path, value: str) -> None:
    assert await tool(file).call({"state": value}) == {"count": 0, "rows": []}
    answer = await tool(file).call({"state": "open"})
    assert isinstance(answer, dict)
    assert answer["count"] == 100


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders", "UPDATE orders SET total = 0", "DROP TABLE orders",
        "INSERT INTO orders VALUES (1, 'x', 'y', 0)", "ATTACH 'other.db' AS other",
        "PRAGMA query_only = OFF", "SELECT 1; SELECT 2", "CREATE TEMP TABLE t (x)", "not sql",
    ],
)  # fmt: skip
async def test_only_reading_is_possible(file: Path, sql: str) -> None:
    before = file.read_bytes()  # noqa: ASYNC240 - a few kilobytes
    with pytest.raises(ToolError, match="failed"):
        await tool(file, Query("q", "", sql)).call({})
    assert file.read_bytes() == before  # noqa: ASYNC240


async def test_a_slow_query_is_stopped(file: Path) -> None:
    times = iter([0.0, *[6.0] * 1000])
    slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT max(x) FROM n"
    made = SqlTool(Query("q", "", slow), SqliteDatabase(file, lambda: next(times)), "org-a")
    with pytest.raises(ToolError, match="too long"):
        await made.call({})


async def test_leaving_stops_the_query(file: Path) -> None:
    slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT max(x) FROM n"
    task = asyncio.create_task(tool(file, Query("q", "", slow)).call({}))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_bytes_are_no_answer(file: Path) -> None:
    with pytest.raises(ToolError, match="bytes"):
        await tool(file, Query("q", "", "SELECT x'00ff' AS b")).call({})


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT :a", {}), ("SELECT 1", {"a": "string"}), ("SELECT ':a'", {"a": "string"}),
        ("SELECT :a", {"a": "date"}), ("SELECT :tenant", {"tenant": "string"}),
    ],
)  # fmt: skip
def test_places_and_parameters_must_agree(
    file: Path, sql: str, parameters: dict[str, str]
) -> None:
    with pytest.raises(UserError):
        tool(file, Query("q", "", sql, parameters))


def test_places_are_found_outside_of_strings_and_casts() -> None:
    sql = """SELECT ':no', ":no", a::text, :one, :two, :one -- :no
             FROM t WHERE b = 'it''s :no' AND c = :three"""
    assert places_in(sql) == ("one", "two", "three")
    text, names = numbered(sql)
    assert names == ("one", "two", "three")
    assert "$1, $2, $1 -- :no" in text
    assert text.endswith("c = $3")
    assert "a::text" in text


def test_the_model_sees_no_tenant(file: Path) -> None:
    shown = json.dumps(tool(file).definition)
    assert "tenant" not in shown
    assert '"required": ["state"]' in shown


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database, but long enough to be looked at " * 20)
    for name in ("x.db", "missing.db"):
        with pytest.raises(UserError, match="no SQLite file"):
            SqliteDatabase(tmp_path / name)
