"""Tasks that are cancelled in the middle of a transaction: nobody waits for what they held."""

import asyncio
import random

from penstock.registry.stores.database import Database

TIMES = 300


async def add_one(database: Database) -> int:
    async with database.begin() as connection:
        await connection.exec_driver_sql("UPDATE t SET a = a + 1")
        return int((await connection.exec_driver_sql("SELECT a FROM t")).scalar_one())


async def test_a_cancelled_transaction_holds_nothing(database: Database) -> None:
    chance = random.Random(1)
    async with database.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE t (a integer)")
        await connection.exec_driver_sql("INSERT INTO t VALUES (0)")
    kept = []
    for _ in range(TIMES):
        task = asyncio.create_task(add_one(database))
        await asyncio.sleep(chance.random() * 0.003)
        task.cancel()
        await asyncio.wait({task})
        kept.append(task)  # as long as somebody has it, so is all that it had
        await add_one(database)
    done = sum(not task.cancelled() for task in kept)
    assert done < TIMES, "some were cancelled"
    assert TIMES + done <= await add_one(database) - 1 <= 2 * TIMES
