"""A gateway's part of the registry, put together: opened before it listens, closed after it."""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

from penstock.registry.clerk import Clerk
from penstock.registry.hours import Hours
from penstock.registry.records import KeyRecord, TenantRecord
from penstock.registry.stores.accounts import AccountStore
from penstock.registry.stores.approvals import ApprovalStore
from penstock.registry.stores.books import BookStore
from penstock.registry.stores.database import Database
from penstock.registry.stores.usage import UsageStore


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

    async def start(self) -> None:
        """Make the tables, take over the manifest's tenants and keys, learn of all others.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        await self.database.create()
        await self.approvals.open()
        await self.accounts.seed(self.tenants, self.keys)
        await self.clerk.refresh()
        await self.clerk.recover()
        await self.clerk.scribe.start()

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Return what runs until it is cancelled."""
        loops = (self.clerk.watch(), self.clerk.work())
        return (*loops, self.hours.keep()) if self.hours else loops

    async def stop(self) -> None:
        """Write what is left."""
        await self.clerk.close()
        if self.hours is not None:
            await self.hours.close()
        await self.database.close()
