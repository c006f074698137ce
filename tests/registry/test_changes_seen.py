"""What keeps a gateway from seeing changes of keys is told: each kind of trouble, and once."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fakes.bank import make_branch

from penstock.ground.errors import StoreUnavailable
from penstock.registry import clerk
from penstock.registry.records import Budgets
from penstock.registry.stores.changes import Changes
from penstock.registry.stores.database import Database


class Accounts:
    """Fails as it is told to."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.asked = 0

    async def changes_since(self, _version: int) -> Changes:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        return Changes(0, (), ())


async def test_a_defect_is_told_while_the_database_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clerk, "_WATCH_EVERY_S", 0.001)
    database = Database(str(tmp_path / "r.db"))
    await database.create()
    branch, accounts = make_branch(database, tmp_path, "gw", Budgets()), Accounts()
    monkeypatch.setattr(branch.clerk, "_accounts", accounts)
    watching = asyncio.create_task(branch.clerk.watch())
    for fails in (StoreUnavailable("away"), ValueError("odd"), KeyError("odder"), None):
        accounts.fails, before = fails, accounts.asked
        for _ in range(20_000):
            if accounts.asked >= before + 5:
                break
            await asyncio.sleep(0.001)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await database.close()
    told = [each.getMessage() for each in caplog.records if "changes of keys" in each.getMessage()]
    assert told == [
        "changes of keys are not seen: away.",
        "changes of keys could not be read",
        "changes of keys could not be read",
        "changes of keys are seen again",
    ]
    assert caplog.text.count("Traceback") == 2
