"""Which approvals were answered, for all gateways of one database; it outlives restarts.

The epoch is made with the table: a database that was lost and made anew has another one, so that
what was asked for before is refused rather than run twice.
"""

import secrets
import time

from sqlalchemy import delete, select

from penstock.ground.clock import Clock
from penstock.registry.stores.database import Database
from penstock.registry.stores.tables import approvals, meta

_EPOCH = "approvals"
_KEPT_S = 3600
"""Beyond their expiry, because the clocks of gateways differ."""


class ApprovalStore:
    """Satisfies `chat.continuation.Ledger`."""

    def __init__(self, database: Database, wall: Clock = time.time) -> None:
        self._database, self._wall = database, wall
        self.epoch = ""
        """The same for all gateways of the database; empty before `open`."""

    async def open(self) -> None:
        """Learn the epoch; the first gateway makes it.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        fresh = {"name": _EPOCH, "value": secrets.randbits(62)}
        async with self._database.begin() as connection:
            await connection.execute(
                self._database.insert(meta).values(fresh).on_conflict_do_nothing()
            )
            found = select(meta.c.value).where(meta.c.name == _EPOCH)
            self.epoch = f"{(await connection.execute(found)).scalar_one():x}"

    async def spend(self, nonce: str, expires_s: int) -> bool:
        """Mark `nonce` as used; false if it was.

        Raises:
            StoreUnavailable: it cannot be told, so nothing may be run.
        """
        async with self._database.begin() as connection:
            await connection.execute(
                delete(approvals).where(approvals.c.expires_s < self._wall() - _KEPT_S)
            )
            row = {"nonce": nonce, "expires_s": expires_s}
            insert = self._database.insert(approvals).values(row).on_conflict_do_nothing()
            return (await connection.execute(insert)).rowcount == 1
