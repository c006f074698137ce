"""Answered approvals in SQLite and PostgreSQL."""

import asyncio

import pytest

from penstock.chat.continuation import Continuations, Pending
from penstock.ground.clock import FakeClock
from penstock.ground.errors import RequestError, StoreUnavailable
from penstock.registry.stores.approvals import ApprovalStore
from penstock.registry.stores.database import Database


async def opened(database: Database, wall: FakeClock) -> ApprovalStore:
    store = ApprovalStore(database, wall)
    await store.open()
    return store


async def test_one_of_many_gateways_spends_it(database: Database) -> None:
    stores = [await opened(database, FakeClock(1000.0)) for _ in range(4)]
    assert len({store.epoch for store in stores}) == 1
    for nonce in ("a", "b", "c"):
        spent = await asyncio.gather(*(each.spend(nonce, 2000) for each in stores * 2))
        assert sorted(spent) == [False] * 7 + [True]


async def test_it_is_forgotten_only_long_after_it_expired(database: Database) -> None:
    wall = FakeClock(1000.0)
    store = await opened(database, wall)
    assert await store.spend("a", 1500)
    wall.advance(4000.0)
    assert not await store.spend("a", 1500), "another gateway's clock may be behind"
    wall.advance(1000.0)
    assert await store.spend("a", 1500)


async def test_a_database_made_anew_refuses_what_was_asked_before(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    wall = FakeClock(1000.0)
    lost, fresh = (
        Database(str(tmp_path_factory.mktemp("approvals") / "registry.db")) for _ in range(2)
    )
    try:
        for database in (lost, fresh):
            await database.create()
        asked, answered = [
            Continuations(b"k" * 32, "org-a", "key-1", await opened(each, wall), wall)
            for each in (lost, fresh)
        ]
        approval = asked.approval((Pending("call_0", "pay", "{}"),))
        with pytest.raises(RequestError, match="restarted"):
            await answered.redeem(approval)
    finally:
        await lost.close()
        await fresh.close()


async def test_a_database_that_is_away_spends_nothing() -> None:
    database = Database("postgresql://u:secret@127.0.0.1:9/none")
    store = ApprovalStore(database)
    with pytest.raises(StoreUnavailable) as caught:
        await store.spend("a", 2000)
    assert "secret" not in str(caught.value)
    await database.close()
