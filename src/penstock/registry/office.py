"""A gateway's part of the registry, put together: opened before it listens, closed after it."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

from penstock.ground.errors import StoreUnavailable
from penstock.registry.clerk import Clerk
from penstock.registry.hours import Hours
from penstock.registry.records import KeyRecord, TenantRecord
from penstock.registry.stores.accounts import AccountStore
from penstock.registry.stores.approvals import ApprovalStore
from penstock.registry.stores.books import BookStore
from penstock.registry.stores.database import Database
from penstock.registry.stores.usage import UsageStore
from penstock.registry.wall import SharedWall

TRIES, AGAIN_S = 3, 1.0
"""How often a start asks the database, and the pause between: either may just have stood still."""

log = logging.getLogger("penstock.registry")


@dataclass(frozen=True, slots=True)
class Office:
    """The stores of one database and the clerk that works with them."""

    database: Database
    accounts: AccountStore
    books: BookStore
    usage: UsageStore
    approvals: ApprovalStore
    clerk: Clerk
    tenants: Sequence[TenantRecord]
    keys: Sequence[KeyRecord]
    hours: Hours | None = None
    """None where no engine costs anything by the hour."""
    stack: str = ""
    """Label of `keys`: who made them."""
    wall: SharedWall | None = None
    """None where this machine's clock is the database's too."""

    async def start(self) -> None:
        """Make the tables, take over the manifest's tenants and keys, learn of all others.

        What is done twice is as done once.

        Raises:
            StoreUnavailable: the database cannot be reached, time and again.
        """
        for left in reversed(range(TRIES)):
            try:
                await self._open()
                break
            except StoreUnavailable as error:
                if not left:
                    raise
                log.warning("the start is tried again: %s", error)
                await asyncio.sleep(AGAIN_S)
        await self.clerk.scribe.start()

    async def _open(self) -> None:
        await self.database.create()
        if self.wall is not None:
            await self.wall.step()
        await self.approvals.open()
        await self.accounts.seed(self.tenants, self.keys, self.stack)
        await self.clerk.refresh()
        await self.clerk.recover()

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Return what runs until it is cancelled."""
        keepers = [each for each in (self.hours, self.wall) if each is not None]
        return (self.clerk.watch(), self.clerk.work(), *(each.keep() for each in keepers))

    async def stop(self) -> None:
        """Write what is left."""
        await self.clerk.close()
        if self.hours is not None:
            await self.hours.close()
        await self.database.close()
