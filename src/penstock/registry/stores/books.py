"""The ledger and the budgets in the database.

A budget is a promise that must hold with several gateways, any of which may die. Money is
therefore in one of two places: `spending` (entries that are in the ledger) or `leases` (what a
gateway has taken in advance and answers for). An entry moves its cost from the lease to the
spending in the transaction that writes it; a lease grows only if spending and all leases together
stay within the budget. So their sum never exceeds it, whatever dies when. The lease of a gateway
that was killed stays taken until its slot file is read and its entries are written.

Each gateway alone writes its lease rows, and as absolute amounts: an update whose outcome is
unknown can be sent again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.registry.entries import Entry, sums_of
from penstock.registry.records import windows_of
from penstock.registry.stores.database import Database
from penstock.registry.stores.hours import pay
from penstock.registry.stores.ports import Grant, LeaseId
from penstock.registry.stores.tables import leases, ledger, spending

_CHUNK = 500
_LOCK = ""
"""The day of the row that those who lease from one scope stand in line for."""


class BookStore:
    """Writes entries, leases budgets."""

    def __init__(
        self,
        database: Database,
        priced: frozenset[str] = frozenset(),
        payees: Mapping[str, str] | None = None,
    ) -> None:
        """`priced` are the engines whose hours cost something; see `registry/hours.py`.

        `payees` tells by model for which of them an answer pays that no engine computed, for it
        came out of the cache.
        """
        self._database, self._priced, self._payees = database, priced, payees or {}

    async def write(
        self, entries: Sequence[Entry], replica: str, held: Mapping[LeaseId, int], *, again: bool
    ) -> None:
        """Write entries and count them as spent, and set what `replica` holds of its leases.

        All or nothing. `again`: some may be there already, from an attempt whose outcome is
        unknown or from before a crash; those are passed over.

        Raises:
            StoreUnavailable: perhaps they were written, perhaps not: come `again`.
        """
        async with self._database.begin() as connection:
            if again:
                entries = await self._missing(connection, entries)
            await self._count(connection, entries)
            if entries:
                await self._database.insert_many(connection, ledger, entries)
            for lease, amount in sorted(held.items()):
                await self._hold(connection, lease, replica, amount)
            if self._priced:
                await self._pay(connection, entries)

    async def lease(
        self, lease: LeaseId, replica: str, wanted: tuple[int, int], cap: int
    ) -> Grant:
        """Let `replica` hold more of a budget of `cap`.

        `wanted` is what it must hold at least, and what it would like to hold. Less than the
        least is never granted. It gets at most a quarter of what is left on top, so that others
        find something.
        """
        least, most = wanted
        async with self._database.begin() as connection:
            await self._lock(connection, lease.scope)
            taken, held = await self._taken(connection, lease, replica)
            left = cap - taken
            if least <= held or least - held > left:
                return Grant(held, left)
            grown = min(most, max(least, held + left // 4))
            await self._hold(connection, lease, replica, grown)
        return Grant(grown, left - (grown - held))

    async def give_back(self, replica: str, held: Mapping[LeaseId, int]) -> None:
        """Set what `replica` holds of its leases to less."""
        async with self._database.begin() as connection:
            for lease, amount in sorted(held.items()):
                await self._hold(connection, lease, replica, amount)

    async def end(self, replica: str) -> None:
        """Give back all that a replica held; all of its entries must have been written."""
        async with self._database.begin() as connection:
            await connection.execute(delete(leases).where(leases.c.replica == replica))

    async def state(self, lease: LeaseId) -> tuple[int, int]:
        """Return what is spent and what is held by gateways now."""
        async with self._database.begin() as connection:
            taken, _ = await self._taken(connection, lease, "")
            held = select(func.coalesce(func.sum(leases.c.amount), 0)).where(_is(lease))
            leased = int((await connection.execute(held)).scalar_one())
        return taken - leased, leased

    async def _missing(self, connection: AsyncConnection, entries: Sequence[Entry]) -> list[Entry]:
        there: set[str] = set()
        for start in range(0, len(entries), _CHUNK):
            ids = [entry.request_id for entry in entries[start : start + _CHUNK]]
            found = select(ledger.c.request_id).where(ledger.c.request_id.in_(ids))
            there.update((await connection.execute(found)).scalars())
        return [entry for entry in entries if entry.request_id not in there]

    async def _count(self, connection: AsyncConnection, entries: Sequence[Entry]) -> None:
        sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for (tenant, key_id, number), (nano_usd, tokens) in sums_of(entries).items():
            day, _ = windows_of(number * 86_400)
            for scope in (f"tenant:{tenant}", f"key:{key_id}"):
                sums[scope, day][0] += nano_usd
                sums[scope, day][1] += tokens
        for (scope, day), (nano_usd, tokens) in sorted(sums.items()):
            if nano_usd or tokens:
                await self._spend(connection, scope, day, (nano_usd, tokens))

    async def _pay(self, connection: AsyncConnection, entries: Sequence[Entry]) -> None:
        of_engine: dict[str, int] = defaultdict(int)
        for entry in entries:
            engine = entry.engine or self._payees.get(entry.model, "")
            if engine in self._priced:
                of_engine[engine] += entry.cost_nano_usd
        for engine, nano_usd in sorted(of_engine.items()):
            await pay(self._database, connection, engine, nano_usd)

    async def _spend(
        self, connection: AsyncConnection, scope: str, day: str, amounts: tuple[int, int]
    ) -> None:
        nano_usd, tokens = amounts
        row = {"scope": scope, "day": day, "nano_usd": nano_usd, "tokens": tokens}
        await connection.execute(
            self._database.insert(spending)
            .values(row)
            .on_conflict_do_update(
                index_elements=["scope", "day"],
                set_={
                    "nano_usd": spending.c.nano_usd + nano_usd,
                    "tokens": spending.c.tokens + tokens,
                },
            )
        )

    async def _lock(self, connection: AsyncConnection, scope: str) -> None:
        await self._spend(connection, scope, _LOCK, (0, 0))

    async def _hold(
        self, connection: AsyncConnection, lease: LeaseId, replica: str, amount: int
    ) -> None:
        row = {**lease._asdict(), "replica": replica, "amount": amount}
        await connection.execute(
            self._database.insert(leases)
            .values(row)
            .on_conflict_do_update(
                index_elements=["scope", "unit", "window", "replica"], set_={"amount": amount}
            )
        )

    async def _taken(
        self, connection: AsyncConnection, lease: LeaseId, replica: str
    ) -> tuple[int, int]:
        """Return what is spent or held by anybody, and what `replica` holds, at one instant."""
        unit = spending.c.nano_usd if lease.unit == "usd" else spending.c.tokens
        spent = (
            select(func.coalesce(func.sum(unit), 0))
            .where(spending.c.scope == lease.scope, _day_in(lease.window))
            .scalar_subquery()
        )
        held = select(func.coalesce(func.sum(leases.c.amount), 0)).where(_is(lease))
        own = held.where(leases.c.replica == replica)
        row = (
            await connection.execute(select(spent, held.scalar_subquery(), own.scalar_subquery()))
        ).one()
        return int(row[0]) + int(row[1]), int(row[2])


def _is(lease: LeaseId):  # type: ignore[no-untyped-def]
    return and_(
        leases.c.scope == lease.scope,
        leases.c.unit == lease.unit,
        leases.c.window == lease.window,
    )


def _day_in(window: str):  # type: ignore[no-untyped-def]
    if len(window) == len("2026-11"):
        return spending.c.day.startswith(window + "-", autoescape=True)
    return spending.c.day == window
