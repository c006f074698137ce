"""A start waits for a database that is silent for a while, and ends with one that stays so."""

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.ground.errors import StoreUnavailable
from penstock.registry import office
from penstock.registry.office import TRIES, Office


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "AGAIN_S", 0.0)


class Silent:
    """A database, and all that works with it, that answers only after some time."""

    def __init__(self, silent: int) -> None:
        self.silent, self.asked = silent, 0
        self.done: list[str] = []

    async def create(self) -> None:
        self.asked += 1
        if self.asked <= self.silent:
            raise StoreUnavailable("the database cannot be used: it does not answer in time")

    def __getattr__(self, name: str) -> Any:
        async def do(*_: object) -> None:
            self.done.append(name)

        return do


def office_of(database: Silent) -> Office:
    work = cast("Any", database)
    clerk = SimpleNamespace(refresh=work.refresh, recover=work.recover, scribe=database)
    return Office(work, work, work, work, work, cast("Any", clerk), (), ())


async def test_a_database_that_was_silent_for_a_while_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Silent(TRIES - 1)
    with caplog.at_level(logging.CRITICAL, logger="penstock.registry"):
        await office_of(database).start()
    assert database.done == ["open", "seed", "refresh", "recover", "start"]


async def test_one_that_stays_silent_ends_the_start(caplog: pytest.LogCaptureFixture) -> None:
    database = Silent(TRIES)
    with (
        caplog.at_level(logging.CRITICAL, logger="penstock.registry"),
        pytest.raises(StoreUnavailable),
    ):
        await office_of(database).start()
    assert database.asked == TRIES
    assert database.done == []
