"""Idle time: the ledger's sum is the bill of the hours run, whoever dies when."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from penstock.ground.clock import FakeClock
from penstock.ground.errors import StoreUnavailable
from penstock.registry.entries import Entry
from penstock.registry.hours import GAP_MS, TAKEOVER_MS, HourPrice, Hours, cost_until
from penstock.registry.stores.books import BookStore
from penstock.registry.stores.database import Database
from penstock.registry.stores.hours import HourStore
from penstock.registry.stores.tables import hours
from penstock.registry.stores.usage import Question, UsageStore

TEN_S = 1_795_255_200.0  # ten o'clock, UTC
RATE = 1_210_000_000
PRICE = HourPrice("engine", "large", RATE)


class Site:
    """Gateways over one database, and an engine that runs or does not."""

    def __init__(self, database: Database) -> None:
        self.database, self.wall = database, FakeClock(TEN_S)
        self.books = BookStore(database, frozenset(("engine",)))
        self.running = {"engine"}
        self.asked = 0

    def gateway(self, name: str, wall: Callable[[], float] | None = None) -> Hours:
        return Hours(HourStore(self.database), [PRICE], name,
                     running=lambda: self.running, wall=wall or self.wall)  # fmt: skip

    async def pay(self, nano_usd: int) -> None:
        self.asked += 1
        entry = Entry(f"req-{self.asked}", self.wall(), "org-a", "key-1", "large", "", "engine",
                      "complete", 1, 0, 1, False, nano_usd, 1.0, 1.0, "gw")  # fmt: skip
        await self.books.write([entry], "gw", {}, again=False)

    async def lines(self) -> list[Entry]:
        return [entry for entry in await self.all() if entry.kind == "idle"]

    async def all(self) -> list[Entry]:
        return await UsageStore(self.database).page(Question())

    async def sum(self) -> int:
        return sum(entry.cost_nano_usd for entry in await self.all())


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database)


async def run(gateway: Hours, wall: FakeClock, seconds: int) -> None:
    for _ in range(seconds // 100):
        wall.advance(100)
        await gateway.step()


async def test_an_hour_that_nobody_used_is_idle_as_a_whole(site: Site) -> None:
    gateway = site.gateway("a")
    await gateway.step()
    await run(gateway, site.wall, 3600)
    (line,) = await site.lines()
    assert (line.cost_nano_usd, line.total_ms, line.tenant) == (RATE, 3_600_000, "")
    assert (line.engine, line.model, line.kind) == ("engine", "large", "idle")
    assert line.note == ("2026-11-21T10:00:00Z/2026-11-21T11:00:00Z paid 0.000000 of 1.210000 USD")


async def test_what_requests_paid_is_not_charged_again(site: Site) -> None:
    gateway = site.gateway("a")
    await gateway.step()
    await site.pay(10_000_000)
    await run(gateway, site.wall, 1800)
    await site.pay(200_000_000)
    await run(gateway, site.wall, 1700)
    await gateway.close()
    assert await site.sum() == cost_until(int(site.wall() * 1000), RATE) - cost_until(
        int(TEN_S * 1000), RATE
    )
    (line,) = await site.lines()
    assert "paid 0.210000 of" in line.note
    rows = await UsageStore(site.database).sums(Question(tenant="org-a"), ["tenant"])
    assert [(row["requests"], row["usd"]) for row in rows] == [(2, 0.21)]


async def test_a_surplus_pays_for_the_hours_that_follow(site: Site) -> None:
    gateway = site.gateway("a")
    await gateway.step()
    await site.pay(2 * RATE)
    await run(gateway, site.wall, 3 * 3600)
    assert [line.cost_nano_usd for line in await site.lines()] == [0, 0, RATE]
    assert await site.sum() == 3 * RATE


async def test_two_gateways_count_an_hour_once_and_the_second_goes_on(site: Site) -> None:
    one, two = site.gateway("a"), site.gateway("b")
    for _ in range(9):
        await asyncio.gather(one.step(), two.step())
        site.wall.advance(100)
    for _ in range(28):  # the first was killed
        await two.step()
        site.wall.advance(100)
    assert [line.cost_nano_usd for line in await site.lines()] == [RATE]
    assert (await site.lines())[0].replica == "b"


async def test_a_gateway_whose_clock_is_ahead_does_not_count_twice(site: Site) -> None:
    slow, fast = site.gateway("a"), site.gateway("b", lambda: site.wall() + 45)
    for _ in range(36 * 3):
        await slow.step()
        await fast.step()
        site.wall.advance(100)
    await fast.close()
    await slow.close()
    total = await site.sum()
    assert 3 * RATE <= total <= 3 * RATE + cost_until(60_000, RATE)


async def test_a_clock_that_is_set_back_does_not_stop_the_count(site: Site) -> None:
    gateway = site.gateway("a")
    await gateway.step()
    await run(gateway, site.wall, 1800)
    site.wall.advance(-7200)
    await run(gateway, site.wall, 1800)
    await gateway.close()
    # What passed between the last look and the first one after it is not known.
    assert sum(line.total_ms for line in await site.lines()) == 3_500_000


async def test_an_engine_that_stands_still_is_not_charged(site: Site) -> None:
    gateway = site.gateway("a")
    await gateway.step()
    await run(gateway, site.wall, 600)
    site.running = set()
    await run(gateway, site.wall, 6000)
    site.running = {"engine"}
    await gateway.step()
    await run(gateway, site.wall, 600)
    await gateway.close()
    assert [line.total_ms for line in await site.lines()] == [600_000, 600_000]
    assert await site.sum() == pytest.approx(RATE / 3, abs=2)


async def test_a_new_price_holds_from_then_on(site: Site) -> None:
    await (old := site.gateway("a")).step()
    await run(old, site.wall, 600)
    dear = HourPrice("engine", "large", 3 * RATE)
    new = Hours(HourStore(site.database), [dear], "a", running=lambda: ["engine"], wall=site.wall)
    await new.step()
    await run(new, site.wall, 600)
    await new.close()
    assert await site.sum() == pytest.approx(RATE / 6 + 3 * RATE / 6, abs=2)


class _Shaky(Database):
    """A database that can fail just before a transaction is committed, or just after."""

    fails = ""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with super().begin() as connection:
            yield connection
            if self.fails == "before":
                raise StoreUnavailable("gone")
        if self.fails == "after":
            raise StoreUnavailable("gone")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 4000)),
        st.tuples(st.just("pay"), st.integers(0, 2 * RATE)),
        st.tuples(st.sampled_from(["look", "end", "kill", "before", "after"]), st.integers(0, 2)),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_the_sum_is_the_bill(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_follow(steps))


async def _follow(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = _Shaky(str(Path(folder) / "r.db"))
        await database.create()
        site = Site(database)
        gateways = [site.gateway(f"gw-{number}") for number in range(3)]
        for number, (what, amount) in enumerate(steps):
            if what == "wait":
                site.wall.advance(amount / 10)
            elif what == "pay":
                await site.pay(amount)
            elif what == "kill":
                gateways[amount] = site.gateway(f"heir-{number}")
            else:
                database.fails = what
                with suppress(StoreUnavailable):
                    await gateways[amount].step(ends=what == "end")
                database.fails = ""
        site.wall.advance(TAKEOVER_MS / 1000)
        await gateways[0].step()
        await gateways[0].close()
        await _check(site)
        await database.close()


async def _check(site: Site) -> None:
    lines = await site.lines()
    assert all(line.cost_nano_usd >= 0 for line in lines)
    spans = [(round(e.admitted_s * 1000), round(e.admitted_s * 1000 + e.total_ms)) for e in lines]
    for (_, until_ms), (from_ms, _) in pairwise(spans):
        assert from_ms == until_ms or from_ms - until_ms > GAP_MS
    bill = sum(cost_until(until, RATE) - cost_until(since, RATE) for since, until in spans)
    async with site.database.begin() as connection:
        row = (await connection.execute(select(hours.c.paid, hours.c.surplus))).one()
    assert await site.sum() == bill + sum(row)
