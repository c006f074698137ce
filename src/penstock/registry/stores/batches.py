"""Batches in the database, and who runs them.

A gateway that runs a batch counts its `beat` up, every few seconds. Whoever sees the same beat for
long by his own clock takes the batch over, with the next `generation`: no clock is compared with
another's. Everything that a runner writes names its generation, so one that was slow, and has been
replaced, changes nothing any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, update

from penstock.ground.errors import LimitExceeded, RequestError
from penstock.registry.batches.records import ACTIVE, PURPOSE, BatchRecord, FileRecord
from penstock.registry.stores.database import Database
from penstock.registry.stores.files import unfinished
from penstock.registry.stores.pages import Page, no_start, ordered
from penstock.registry.stores.tables import batches, files

_IDS = 500
"""Ids of one question."""
_COME_BACK_S = 60.0
_SEEN, _OF_A_TENANT = 2000, 64
"""Batches that are looked at, and those of one tenant among them."""


class Sight(NamedTuple):
    """A batch that is not done, as it was last seen."""

    id: str
    owner: str
    beat: int
    status: str
    tenant: str


class Hold(NamedTuple):
    """One gateway's hold on a batch."""

    batch_id: str
    owner: str
    generation: int


class BatchStore:
    """Every question of a client's names the tenant: what is another's is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: BatchRecord, most: int) -> None:
        """Keep a new batch.

        Raises:
            RequestError: its file is not there (`FileStore.claim` cannot come in between).
            LimitExceeded: the tenant has `most` batches under way.
        """
        active = select(func.count()).where(
            batches.c.tenant == record.tenant, batches.c.status.in_(ACTIVE)
        )
        file = (
            (files.c.id == record.input_file_id)
            & (files.c.tenant == record.tenant)
            & (files.c.purpose == PURPOSE)
            & (files.c.expires_s >= record.created_s)
            & files.c.is_whole
        )
        async with self._database.begin() as connection:
            # Batches of one tenant stand in line here, and then at their file's row.
            await self._database.take_turn(connection, f"batches:{record.tenant}")
            same = update(files).where(file).values(is_whole=True)
            if not (await connection.execute(same)).rowcount:
                raise no_file(record.input_file_id)
            if int((await connection.execute(active)).scalar_one()) >= most:
                raise LimitExceeded(
                    "too many batches are under way",
                    why=f"a tenant may have {most} at a time",
                    retry_after_s=_COME_BACK_S,
                )
            await self._database.insert_many(connection, batches, [astuple(record)])

    async def find(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return a batch; none where it is not there, or another's."""
        mine = (batches.c.id == batch_id) & (batches.c.tenant == tenant)
        async with self._database.begin() as connection:
            row = (await connection.execute(select(batches).where(mine))).one_or_none()
        return BatchRecord(*row) if row is not None else None

    async def page(self, tenant: str, page: Page) -> list[BatchRecord]:
        """Return batches, newest first, one more than the page holds.

        Raises:
            RequestError: there is no batch to begin after.
        """
        at: tuple[float, str] | None = None
        if page.after is not None:
            first = await self.find(tenant, page.after)
            if first is None:
                raise no_start(page.after)
            at = first.created_s, first.id
        asked = ordered(select(batches).where(batches.c.tenant == tenant), batches, page, at)
        async with self._database.begin() as connection:
            return [BatchRecord(*row) for row in (await connection.execute(asked)).all()]

    async def cancel(self, tenant: str, batch_id: str, now_s: float) -> bool:
        """Ask for the end of a batch; false where nothing is left to be ended."""
        open_one = (
            (batches.c.id == batch_id)
            & (batches.c.tenant == tenant)
            & batches.c.status.in_(("validating", "in_progress"))
        )
        values = {"status": "cancelling", "cancelling_s": now_s}
        async with self._database.begin() as connection:
            done = await connection.execute(update(batches).where(open_one).values(values))
            return bool(done.rowcount)

    # Who runs them

    async def active(self) -> Sequence[Sight]:
        """Return the batches that are not done, of each tenant the oldest ones, oldest first."""
        named = (getattr(batches.c, name) for name in Sight._fields)
        age = func.row_number().over(partition_by=batches.c.tenant, order_by=batches.c.created_s)
        found = select(*named, batches.c.created_s, age.label("age"))
        oldest = found.where(batches.c.status.in_(ACTIVE)).subquery()
        asked = select(oldest).where(oldest.c.age <= _OF_A_TENANT).order_by(oldest.c.created_s)
        async with self._database.begin() as connection:
            rows = (await connection.execute(asked.limit(_SEEN))).all()
        return [Sight(*row[: len(Sight._fields)]) for row in rows]

    async def take(self, seen: Sight, owner: str) -> BatchRecord | None:
        """Take a batch over, if it is as it was `seen`; none where another was faster."""
        as_seen = (
            (batches.c.id == seen.id)
            & (batches.c.owner == seen.owner)
            & (batches.c.beat == seen.beat)
            & batches.c.status.in_(ACTIVE)
        )
        values = {
            "owner": owner,
            "beat": batches.c.beat + 1,
            "generation": batches.c.generation + 1,
        }
        async with self._database.begin() as connection:
            done = await connection.execute(update(batches).where(as_seen).values(values))
            if not done.rowcount:
                return None
            row = await connection.execute(select(batches).where(batches.c.id == seen.id))
            return BatchRecord(*row.one())

    async def beat(self, hold: Hold, counts: tuple[int, int]) -> str | None:
        """Say that the runner lives, and how far it is: lines that went well, and that did not.

        Returns the batch's status, which says whether it is to be ended; none where the hold is
        lost.
        """
        values = {"beat": batches.c.beat + 1, "completed": counts[0], "failed": counts[1]}
        async with self._database.begin() as connection:
            done = await connection.execute(update(batches).where(_held(hold)).values(values))
            if not done.rowcount:
                return None
            asked = select(batches.c.status).where(batches.c.id == hold.batch_id)
            return str((await connection.execute(asked)).scalar_one())

    async def advance(
        self, hold: Hold, before: Sequence[str], values: Mapping[str, object]
    ) -> bool:
        """Change a batch whose status is one of `before`; false where it is not, or not held."""
        mine = _held(hold) & batches.c.status.in_(before)
        async with self._database.begin() as connection:
            done = await connection.execute(update(batches).where(mine).values(dict(values)))
            return bool(done.rowcount)

    async def plan(self, hold: Hold, planned: Sequence[FileRecord]) -> bool:
        """Note the files that a batch is about to make; false where it is not held."""
        async with self._database.begin() as connection:
            same = update(batches).where(_held(hold)).values(owner=batches.c.owner)
            if not (await connection.execute(same)).rowcount:
                return False
            rows = [astuple(unfinished(one)) for one in planned]
            await self._database.insert_many(connection, files, rows)
            return True

    async def close(
        self,
        hold: Hold,
        values: Mapping[str, object],
        planned: Sequence[FileRecord] = (),
        made: Sequence[FileRecord] = (),
    ) -> bool:
        """End a batch together with the files that it has made; false where it is not held."""
        async with self._database.begin() as connection:
            ended = update(batches).where(_held(hold)).values({**values, "owner": ""})
            if not (await connection.execute(ended)).rowcount:
                return False
            ids = [one.id for one in planned]
            await connection.execute(delete(files).where(files.c.id.in_(ids)))
            await self._database.insert_many(connection, files, [astuple(one) for one in made])
            return True

    async def over(self, ids: Sequence[str], before_s: float) -> list[str]:
        """Return those of `ids` that are batches which ended before a time."""
        ended_s = func.coalesce(
            batches.c.completed_s, batches.c.failed_s, batches.c.expired_s, batches.c.cancelled_s
        )
        found: list[str] = []
        async with self._database.begin() as connection:
            for at in range(0, len(ids), _IDS):
                asked = select(batches.c.id).where(
                    batches.c.id.in_(ids[at : at + _IDS]),
                    batches.c.status.not_in(ACTIVE),
                    ended_s < before_s,
                )
                found += (await connection.execute(asked)).scalars().all()
        return found

    async def release(self, hold: Hold) -> None:
        """Let any gateway go on with it."""
        async with self._database.begin() as connection:
            values = {"owner": "", "beat": batches.c.beat + 1}
            await connection.execute(update(batches).where(_held(hold)).values(values))


def no_file(file_id: str) -> RequestError:
    """Return the error for a batch whose file is not there."""
    return RequestError(
        f"there is no file {file_id[:100]!r} for batches", param="input_file_id", code="not_found"
    )


def _held(hold: Hold) -> ColumnElement[bool]:
    return (
        (batches.c.id == hold.batch_id)
        & (batches.c.owner == hold.owner)
        & (batches.c.generation == hold.generation)
        & batches.c.status.in_(ACTIVE)
    )
