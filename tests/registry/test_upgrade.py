"""A database that an older Penstock made is brought up to date in place."""

import asyncio

from sqlalchemy import text

from penstock.registry.entries import Entry
from penstock.registry.stores.books import BookStore
from penstock.registry.stores.database import Database
from penstock.registry.stores.usage import Question, UsageStore

OLD_LEDGER = """
CREATE TABLE penstock_ledger (
    request_id TEXT NOT NULL PRIMARY KEY, admitted_s FLOAT NOT NULL, tenant TEXT NOT NULL,
    key_id TEXT NOT NULL, model TEXT NOT NULL, adapter TEXT NOT NULL, engine TEXT NOT NULL,
    outcome TEXT NOT NULL, prompt_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL, estimated BOOLEAN NOT NULL, cost_nano_usd BIGINT NOT NULL,
    ttft_ms FLOAT NOT NULL, total_ms FLOAT NOT NULL, replica TEXT NOT NULL)
"""
OLD_LINE = (
    "INSERT INTO penstock_ledger VALUES ('old', 5.0, 'org-a', 'key-1', 'm', '', 'e', 'complete',"
    " 7, 0, 3, false, 42, 1.0, 2.0, 'gw')"
)
NEW = Entry("new", 6.0, "org-a", "key-1", "sql", "", "", "complete", 0, 0, 0, False, 0, 0.0, 1.0,
            "gw", "tool", "rows=3")  # fmt: skip


async def test_an_old_ledger_gets_the_new_columns_and_keeps_its_lines(database_url: str) -> None:
    old = Database(database_url)
    async with old.begin() as connection:
        await connection.execute(text(OLD_LEDGER))
        await connection.execute(text(OLD_LINE))
    await old.close()
    replicas = [Database(database_url) for _ in range(3)]
    await asyncio.gather(*(replica.create() for replica in replicas))
    await BookStore(replicas[0]).write([NEW], "gw", {}, again=False)
    usage = UsageStore(replicas[1])
    found = await usage.page(Question())
    assert [(entry.request_id, entry.kind, entry.note) for entry in found] == [
        ("old", "request", ""),
        ("new", "tool", "rows=3"),
    ]
    assert found[1] == NEW
    (row,) = await usage.sums(Question(), ["tenant"])
    assert (row["requests"], row["usd"]) == (1, 42e-9)
    by_kind = await usage.sums(Question(), ["kind"])
    assert [(row["kind"], row["requests"]) for row in by_kind] == [("request", 1), ("tool", 0)]
    for replica in replicas:
        await replica.close()


async def test_an_up_to_date_database_is_left_alone(database: Database) -> None:
    await BookStore(database).write([NEW], "gw", {}, again=False)
    await database.create()
    assert await UsageStore(database).page(Question()) == [NEW]
