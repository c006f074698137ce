"""Open spans of engines in the database; see `registry/hours.py`."""

from dataclasses import asdict

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.registry.hours import HourPrice, OpenSpan, Visit, advance, line_of
from penstock.registry.stores.database import Database
from penstock.registry.stores.tables import hours, ledger


class HourStore:
    """Moves spans on: a span and its line are written together or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def visit(self, price: HourPrice, visit: Visit) -> None:
        """Move the engine's span on, and write the lines of those that are closed.

        Raises:
            StoreUnavailable: nothing is changed, or all of it; coming again does no harm.
        """
        async with self._database.begin() as connection:
            await pay(self._database, connection, price.engine, 0)  # stand in line for the row
            mine = hours.c.engine == price.engine
            row = (await connection.execute(select(hours).where(mine))).one()
            held = OpenSpan(*row[1:])
            after, spans = advance(held, visit)
            if after == held:
                return
            await connection.execute(update(hours).where(mine).values(asdict(after)))
            lines = [line_of(span, price, visit.replica) for span in spans]
            await self._database.insert_many(connection, ledger, lines)


async def pay(database: Database, connection: AsyncConnection, engine: str, nano_usd: int) -> None:
    """Count what requests paid for an engine, in the transaction that writes their lines."""
    empty = {**asdict(OpenSpan()), "engine": engine, "paid": nano_usd}
    await connection.execute(
        database.insert(hours)
        .values(empty)
        .on_conflict_do_update(index_elements=["engine"], set_={"paid": hours.c.paid + nano_usd})
    )
