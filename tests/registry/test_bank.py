"""Budgets and ledger under random interleavings, crashes and several gateways.

Two things must hold whatever happens: what is spent and what is leased never exceed a budget
together, and the ledger holds every request once, with what it used. The gateways' clocks differ,
days go by, and the database is SQLite as well as PostgreSQL.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, func, select
from tests.fakes.bank import PRICE, Branch, make_branch

from penstock.gateway.charges import Charge
from penstock.gateway.demand import Demand
from penstock.gateway.passage import Usage
from penstock.ground.clock import FakeClock
from penstock.ground.errors import BudgetExceeded, LimitExceeded, StoreUnavailable
from penstock.registry.pricing import cost_of
from penstock.registry.records import Budgets, Limits
from penstock.registry.stores.database import Database
from penstock.registry.stores.ports import LeaseId
from penstock.registry.stores.tables import leases, ledger, spending

T = TypeVar("T")
DAY = "2026-11-21"
NOON_S = 1_795_262_400.0
BUDGETS = Budgets(usd_per_day=0.002, tokens_per_month=3000)
CAPS = {"usd": 2_000_000, "tokens": 3000}


async def total_of(database: Database, table: Any, column: str, **where: str) -> int:
    query = select(func.coalesce(func.sum(table.c[column]), 0))
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    async with database.begin() as connection:
        return int((await connection.execute(query)).scalar_one())


class Bank(RuleBasedStateMachine):
    """Up to three gateways, killed and replaced at random."""

    def __init__(self, url: str | None = None) -> None:
        """Without `url` the database is an SQLite file of its own."""
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.wall, self.clock = FakeClock(NOON_S), FakeClock(1.0)
        self.database = Database(url or str(Path(self.folder.name) / "registry.db"))
        self.run(self._empty())
        self.branches: list[Branch] = []
        self.open: list[tuple[Branch, Charge]] = []
        self.names = 0
        self.ahead_s: dict[str, int] = {}
        self.expected: dict[str, tuple[int, int, int]] = {}

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _empty(self) -> None:
        await self.database.create()
        async with self.database.begin() as connection:
            for table in (leases, ledger, spending):
                await connection.execute(delete(table))

    @precondition(lambda self: len(self.branches) < 3)
    @rule(ahead_s=st.sampled_from([0, 0, 0, -40, 40, 40_000]))
    def start(self, ahead_s: int) -> None:
        """A gateway, whose clock is ahead of the others'."""
        self.names += 1
        name = f"gw-{self.names}"
        self.ahead_s[name] = ahead_s
        self.branches.append(
            make_branch(self.database, Path(self.folder.name), name, BUDGETS,
                        clock=self.clock, wall=lambda: self.wall() + self.ahead_s[name])
        )  # fmt: skip

    @precondition(lambda self: self.branches)
    @rule(which=st.integers(0, 2), ahead_s=st.sampled_from([0, 40, -40_000, 40_000, 80_000]))
    def set_clock(self, which: int, ahead_s: int) -> None:
        """One steps, perhaps to another day, or back to one that was before."""
        self.ahead_s[self.branches[which % len(self.branches)].clerk._replica] = ahead_s

    @precondition(lambda self: self.branches)
    @rule(which=st.integers(0, 2), prompt=st.integers(1, 300), answer=st.integers(0, 400))
    def ask(self, which: int, prompt: int, answer: int) -> None:
        branch = self.branches[which % len(self.branches)]
        try:
            charge = self.run(branch.open(Demand(prompt, prompt, answer, answer)))
        except BudgetExceeded:
            return
        charge.asked(0)
        self.open.append((branch, charge))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 20), events=st.integers(0, 500))
    def pass_on(self, which: int, events: int) -> None:
        _, charge = self.open[which % len(self.open)]
        charge.passed(min(events, charge.demand.completion + 1))

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, 20),
        share=st.floats(0, 1),
        outcome=st.sampled_from(["complete", "client_gone", "engine_died", "timeout"]),
    )
    def settle(self, which: int, share: float, outcome: str) -> None:
        branch, charge = self.open.pop(which % len(self.open))
        prompt = max(1, int(charge.demand.prompt * share))
        answer = int(charge.demand.completion * share)
        charge.settle(outcome, Usage(prompt, answer), 0, 0.1)
        entry = branch.clerk.slots.entries([charge.slot])[0]
        cost = cost_of(PRICE, prompt, 0, answer)
        self.expected[entry.request_id] = (prompt, answer, cost)

    @precondition(lambda self: self.branches)
    @rule(which=st.integers(0, 2))
    def work(self, which: int) -> None:
        self.run(self.branches[which % len(self.branches)].clerk.step())

    @precondition(lambda self: self.branches)
    @rule(which=st.integers(0, 2), spill=st.booleans())
    def kill(self, which: int, spill: bool) -> None:
        branch = self.branches.pop(which % len(self.branches))
        if spill:
            branch.clerk._collect()
            branch.clerk._spill()
        for owner, charge in self.open:
            if owner is branch:
                raw = branch.clerk.slots.entries([charge.slot])[0]
                self.expected[raw.request_id] = (
                    raw.prompt_tokens, raw.completion_tokens, raw.cost_nano_usd,
                )  # fmt: skip
                assert raw.outcome == "gateway_died"
        self.open = [(owner, charge) for owner, charge in self.open if owner is not branch]
        branch.kill()

    @precondition(lambda self: self.branches)
    @rule()
    def rest(self) -> None:
        """Long enough for idle money to go back and for the dead to be found."""
        self.clock.advance(20)
        self.run(self.branches[0].clerk.step())

    @rule(hours=st.integers(1, 12))
    def go_on(self, hours: int) -> None:
        """Days go by, but the month does not end."""
        if self.wall() < NOON_S + 6 * 86_400:
            self.wall.advance(hours * 3600)
            self.clock.advance(hours * 3600)

    @invariant()
    def no_budget_is_overspent(self) -> None:
        self.run(self._check())

    async def _check(self) -> None:
        async with self.database.begin() as connection:
            mine = spending.c.scope == "tenant:org-a"
            spent = (await connection.execute(select(spending).where(mine))).all()
            held = (await connection.execute(select(leases))).all()
        for unit, window in {(row.unit, row.window) for row in held}:
            amounts = [
                row.nano_usd if unit == "usd" else row.tokens
                for row in spent
                if row.day.startswith(window)
            ]
            amounts += [row.amount for row in held if (row.unit, row.window) == (unit, window)]
            assert sum(amounts) <= CAPS[unit]
        assert all(row.nano_usd <= CAPS["usd"] for row in spent)
        assert sum(row.tokens for row in spent) <= CAPS["tokens"]

    def teardown(self) -> None:
        """In the end everything is in the ledger, once, and nothing is held."""
        for _, charge in self.open:
            charge.settle("failed", Usage(0, 0), 0, 0.0)
        self.names += 1
        heir = make_branch(self.database, Path(self.folder.name), f"gw-{self.names}", BUDGETS,
                           clock=self.clock, wall=self.wall)  # fmt: skip
        for branch in (*self.branches, heir):
            self.run(branch.clerk.recover())
            self.run(branch.clerk.close())
        self.run(self._compare())
        assert list(Path(self.folder.name).glob("*.s*l*")) == []
        self.run(self.database.close())
        self.loop.close()
        self.folder.cleanup()

    async def _compare(self) -> None:
        columns = (ledger.c.prompt_tokens, ledger.c.completion_tokens, ledger.c.cost_nano_usd)
        async with self.database.begin() as connection:
            rows = (await connection.execute(select(ledger.c.request_id, *columns))).all()
        found = {row[0]: tuple(row[1:]) for row in rows}
        assert {name: used for name, used in found.items() if any(used)} == {
            name: used for name, used in self.expected.items() if any(used)
        }
        cost = sum(used[2] for used in self.expected.values())
        assert await total_of(self.database, spending, "nano_usd", scope="tenant:org-a") == cost
        assert await total_of(self.database, leases, "amount") == 0


def test_bank(database_url: str) -> None:
    is_sqlite = "://" not in database_url
    run_state_machine_as_test(
        partial(Bank, None if is_sqlite else database_url),  # type: ignore[arg-type]
        settings=settings(
            max_examples=40 if is_sqlite else 20, stateful_step_count=25, deadline=None
        ),
    )


async def test_a_thousand_at_once_through_three_gateways(
    database: Database, tmp_path: Path
) -> None:
    """Each may cost 0.01 dollars and costs 0.004; the budget is one dollar."""
    branches = [
        make_branch(database, tmp_path, f"gw-{number}", Budgets(usd_per_day=1.0))
        for number in range(3)
    ]
    done = refused = 0

    async def ask(branch: Branch) -> None:
        nonlocal done, refused
        try:
            charge = await branch.open(Demand(2000, 2000, 4000, 4000))
        except BudgetExceeded:
            refused += 1
            return
        await asyncio.sleep(0)
        charge.settle("complete", Usage(2000, 1000), 0, 0.1)
        done += 1

    for branch in branches:
        for _ in range(333):
            await ask(branch)
    for branch in branches:
        await branch.clerk.close()
    spent = await total_of(database, spending, "nano_usd", scope="tenant:org-a")
    assert spent == done * 4_000_000 <= 10**9
    assert done >= 200
    assert refused > 0
    assert await total_of(database, ledger, "cost_nano_usd") == spent


async def test_leases_at_the_same_time_stay_within_the_budget(
    database: Database, tmp_path: Path
) -> None:
    books = make_branch(database, tmp_path, "gw", Budgets()).clerk._books
    lease = LeaseId("tenant:org-a", "usd", DAY)
    grants = await asyncio.gather(
        *(books.lease(lease, f"gw-{number}", (100, 900), 1000) for number in range(20))
    )
    held = await total_of(database, leases, "amount")
    assert held == sum(grant.held for grant in grants) <= 1000
    assert held > 900


async def test_a_month_is_the_sum_of_its_days(database: Database, tmp_path: Path) -> None:
    wall = FakeClock(NOON_S)
    branch = make_branch(database, tmp_path, "gw", Budgets(tokens_per_month=1000), wall=wall)
    for _ in range(3):
        charge = await branch.open(Demand(100, 100, 100, 100))
        charge.settle("complete", Usage(100, 100), 0, 0.1)
        wall.advance(86_400)
    with pytest.raises(BudgetExceeded) as refused:
        await branch.open(Demand(300, 300, 300, 300))
    assert 0 < refused.value.retry_after_s <= 7 * 86_400
    wall.advance(10 * 86_400)
    assert await branch.open(Demand(300, 300, 300, 300))


async def test_a_day_that_comes_again_is_not_spent_again(
    database: Database, tmp_path: Path
) -> None:
    """A clock is set back over midnight: the day before is used up, the next one hardly begun."""
    wall = FakeClock(NOON_S)
    branch = make_branch(database, tmp_path, "gw", Budgets(tokens_per_day=1000), wall=wall)

    async def spend(times: int) -> None:
        for _ in range(times):
            charge = await branch.open(Demand(100, 100, 100, 100))
            charge.settle("complete", Usage(100, 100), 0, 0.1)

    await spend(5)
    wall.advance(86_400)
    await spend(1)
    wall.advance(-86_400)
    with pytest.raises(BudgetExceeded):
        await spend(1)
    wall.advance(86_400)
    await spend(4)
    with pytest.raises(BudgetExceeded):
        await spend(1)
    await branch.clerk.close()
    async with database.begin() as connection:
        mine = spending.c.scope == "tenant:org-a", spending.c.day != ""
        spent = (await connection.execute(select(spending.c.tokens).where(*mine))).scalars()
        assert [*spent] == [1000, 1000]


class _Down(Database):
    """A database that can be taken away."""

    gone = False

    def begin(self) -> Any:
        if self.gone:
            raise StoreUnavailable("gone")
        return super().begin()


async def test_without_the_database_money_on_hand_is_spent_and_no_more(
    database_url: str, tmp_path: Path
) -> None:
    database = _Down(database_url)
    await database.create()
    branch = make_branch(database, tmp_path, "gw", Budgets(tokens_per_day=100_000))
    (await branch.open(Demand(1, 1, 1, 1))).settle("complete", Usage(1, 1), 0, 0.1)
    database.gone = True
    spent = 0

    async def spend_all() -> None:
        nonlocal spent
        while True:
            charge = await branch.open(Demand(50, 50, 50, 50))
            charge.settle("complete", Usage(50, 50), 0, 0.1)
            spent += 100

    with pytest.raises(AssertionError, match="never became clear"):
        await spend_all()
    assert 0 < spent < 100_000
    assert branch.clerk.behind
    database.gone = False
    await branch.clerk.step()
    assert await total_of(database, spending, "tokens", scope="tenant:org-a") == spent + 2
    await database.close()


async def test_concurrent_requests_and_tokens_a_minute(database: Database, tmp_path: Path) -> None:
    clock = FakeClock(5.0)
    limits = Limits(concurrent_requests=2, tokens_per_minute=600)
    branch = make_branch(database, tmp_path, "gw", Budgets(), limits=limits, clock=clock)
    first = await branch.open(Demand(40, 40, 89, 89))
    await branch.open(Demand(40, 40, 89, 89))
    with pytest.raises(LimitExceeded, match="same time"):
        await branch.open(Demand(40, 40, 89, 89))
    first.settle("complete", Usage(11, 389), 0, 0.1)
    with pytest.raises(LimitExceeded, match="a minute") as refused:
        await branch.open(Demand(40, 40, 189, 189))
    clock.advance(refused.value.retry_after_s)
    assert await branch.open(Demand(40, 40, 189, 189))
