"""Charges: what becomes of one request in the ledger and in budgets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.fakes.bank import PRICE, Branch, make_branch

from penstock.gateway import waiting
from penstock.gateway.demand import Demand
from penstock.gateway.line import Bounds, Line
from penstock.gateway.passage import Usage
from penstock.gateway.waiting import open_patiently
from penstock.ground.errors import BudgetExceeded, NoRoom
from penstock.registry.entries import Entry
from penstock.registry.records import Budgets
from penstock.registry.slots import SLOTS
from penstock.registry.stores.database import Database

DEMAND = Demand(400, 400, 100, 100)


@pytest.fixture
async def branch(tmp_path: Path) -> AsyncIterator[Branch]:
    database = Database(str(tmp_path / "r.db"))
    await database.create()
    yield make_branch(database, tmp_path, "gw", Budgets(tokens_per_day=10_000, usd_per_day=1))
    await database.close()


def lines(branch: Branch) -> list[Entry]:
    return branch.clerk.slots.entries(branch.clerk.slots.settled)


async def test_notes_add_up_and_are_cut(branch: Branch) -> None:
    charge = await branch.open(DEMAND)
    charge.note("canary")
    charge.note("tier=large score=0.71")
    charge.note("é\0" * 60)
    charge.settle("complete", Usage(7, 3), 0, 0.1)
    (line,) = lines(branch)
    assert line.note.startswith("canary tier=large score=0.71 é é é")
    assert len(line.note.encode()) <= 96


async def test_a_tool_call_is_a_line_that_touches_no_budget(branch: Branch) -> None:
    charge = await branch.open(DEMAND)
    held = [(purse.free, purse.due) for purse in charge.purses]
    branch.charges.line("tool", branch.caller, "search\0_database", outcome="complete",
                        seconds=0.25, request_id=b"req-9/1", note="rows=3")  # fmt: skip
    assert held == [(purse.free, purse.due) for purse in charge.purses]
    (line,) = lines(branch)
    assert (line.kind, line.request_id, line.model) == ("tool", "req-9/1", "search _database")
    assert (line.tenant, line.key_id, line.note) == ("org-a", "key-1", "rows=3")
    assert (line.cost_nano_usd, line.prompt_tokens, line.total_ms) == (0, 0, 250)


async def test_a_shadow_line_is_nobodys(branch: Branch) -> None:
    branch.charges.line("shadow", branch.caller, "large", outcome="complete", seconds=1.0,
                        request_id=b"req-9/s", usage=Usage(7, 3))  # fmt: skip
    (line,) = lines(branch)
    assert (line.tenant, line.key_id, line.cost_nano_usd) == ("", "", 0)
    assert (line.prompt_tokens, line.completion_tokens) == (7, 3)


@pytest.mark.parametrize(("share", "cost"), [(0.0, 0), (0.25, 150_000), (1.0, 600_000)])
async def test_an_answer_from_the_cache_costs_its_share(
    branch: Branch, share: float, cost: int
) -> None:
    price = msgspec.structs.replace(PRICE, from_cache=share)
    branch.route = type(branch.route)("model", (), price, 4096, None, b"model\0")
    charge = await branch.open(DEMAND)
    charge.settle("from_cache", Usage(400, 100), 0, 0.001)
    (line,) = lines(branch)
    assert (line.outcome, line.cost_nano_usd) == ("from_cache", cost)
    assert (line.prompt_tokens, line.completion_tokens) == (0, 0)
    assert line.note == "saved 400+100 tokens"
    due = {purse.lease.unit: purse.due for purse in charge.purses}
    assert due == {"usd": cost, "tokens": 0}


async def test_a_denied_request_costs_nothing(branch: Branch) -> None:
    charge = await branch.open(DEMAND)
    charge.settle("denied", None, 0, 0.0)
    (line,) = lines(branch)
    assert (line.outcome, line.cost_nano_usd, line.prompt_tokens) == ("denied", 0, 0)


@pytest.mark.parametrize(
    "name", ["\U0001d510" * 400, "a\0b\0c\0d\0e", "'; DROP TABLE penstock_ledger; --"]
)
async def test_a_refused_name_stays_in_its_own_slot(branch: Branch, name: str) -> None:
    for _ in range(3):
        branch.charges.refused(branch.caller, name, b"req-9", "model_not_found")
    for line in lines(branch):
        assert (line.request_id, line.key_id, line.adapter) == ("req-9", "key-1", "")
        assert line.model == name[: len(line.model)].replace("\0", " ")
        assert line.note == "model_not_found"


@pytest.mark.parametrize("budgets", [Budgets(tokens_per_day=500), Budgets(usd_per_day=0.0006)])
async def test_who_asks_for_too_much_is_told_what_would_pass(
    tmp_path: Path, budgets: Budgets
) -> None:
    """A prompt of 400 tokens at 1 dollar a million leaves room for 100 at 2 dollars."""
    database = Database(str(tmp_path / "r.db"))
    await database.create()
    branch = make_branch(database, tmp_path, "gw", budgets)
    with pytest.raises(BudgetExceeded) as refused:
        await branch.open(Demand(400, 400, 101, 101))
    assert "would pass now with `max_tokens` of 100 or less" in str(refused.value)
    assert refused.value.limit.startswith("budget in ")
    with pytest.raises(BudgetExceeded) as two:
        await branch.open(Demand(400, 400, 202, 101))  # two answers
    assert "`max_tokens` of 50 or less" in str(two.value)
    with pytest.raises(BudgetExceeded) as endless:
        await branch.open(Demand(400, 400, 4096, 9000))  # more than the context has
    assert "`max_tokens` of 100 or less" in str(endless.value)
    with pytest.raises(BudgetExceeded) as long:
        await branch.open(Demand(900, 900, 1, 1))
    assert "max_tokens" not in str(long.value)
    charge = await branch.open(Demand(400, 400, 100, 100))
    charge.settle("refused", None, 0, 0.0)
    await database.close()


def a_line(places: int) -> Line:
    bounds = Bounds(1.0, 10, 10)
    return Line(
        lambda: places, bounds, clock=lambda: 0.0, wake=lambda: None, on_wait=lambda who, s: None
    )


async def test_who_stands_in_has_a_place_of_its_own(branch: Branch) -> None:
    first, second, full = a_line(1), a_line(1), a_line(0)
    branch.route = replace(branch.route, line=first)
    charge = await branch.open(DEMAND)
    assert first.lets_in(charge)
    assert not charge.reroute(replace(branch.route, model="full", line=full))
    assert (first.running, charge.route.model) == (1, "model")
    assert charge.reroute(replace(branch.route, model="second", line=second))
    assert (first.running, second.running) == (0, 1)
    assert charge.reroute(replace(branch.route, model="third", line=None))
    charge.settle("complete", Usage(7, 3), 0, 0.1)
    assert (first.running, second.running) == (0, 0)


async def test_where_all_slots_are_taken_a_request_waits_until_some_are_written(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_FOR_ROOM_S", 60.0)  # longer than any machine stands still
    slots = branch.clerk.slots
    (await branch.open(DEMAND)).settle("complete", Usage(7, 3), 0, 0.1)
    slots._free.clear()
    asked = branch.caller, branch.route, (b"req-room", b""), DEMAND
    opening = asyncio.create_task(open_patiently(branch.charges, *asked))
    async with asyncio.timeout(60):
        while not branch.clerk._crowd._waiting:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.005)
    assert not opening.done()
    await branch.clerk.write()
    charge = await opening
    assert charge.slot
    assert slots.open == SLOTS
    assert [purse.reserved for purse in charge.purses] == list(reversed(charge.worst))


async def test_it_does_not_wait_where_the_database_is_away(branch: Branch) -> None:
    (await branch.open(DEMAND)).settle("complete", Usage(7, 3), 0, 0.1)
    branch.clerk.slots._free.clear()
    branch.clerk.behind = True
    asked = branch.caller, branch.route, (b"req-room", b""), DEMAND
    with pytest.raises(NoRoom):
        await open_patiently(branch.charges, *asked)
    assert all(not purse.reserved for purses in branch.caller.purses for purse in purses.now)
