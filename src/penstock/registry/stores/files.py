"""Files of tenants in the database; what is in them lies elsewhere (`batches/contents.py`)."""

from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import NamedTuple

from sqlalchemy import delete, exists, func, select, tuple_, update

from penstock.ground.errors import RequestError
from penstock.registry.batches.records import ACTIVE, FileRecord
from penstock.registry.stores.database import Database
from penstock.registry.stores.pages import Page, no_start, ordered
from penstock.registry.stores.tables import batches, files, meta

_UNFINISHED_S = 3600.0
"""A file that was begun so long ago and not finished was given up."""
_BLOCK = 4096
"""What the smallest file takes, bytes: a quota bounds their number, too."""
_SOME = 100


class Ending(NamedTuple):
    """When the time of a file is over, and which it is."""

    expires_s: float
    file_id: str


FIRST = Ending(-1.0, "")


class FileStore:
    """Every question names the tenant: what is another's is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, mark: str) -> bool:
        """Return whether `mark` is of the place where this database's files lie.

        The first gateway that asks decides; one on another place only while there are no files,
        or if there is but one machine: then the place was changed.
        """
        row = {"name": "files", "value": int(mark[:15], 16)}
        async with self._database.begin() as connection:
            await connection.execute(
                self._database.insert(meta).values(row).on_conflict_do_nothing()
            )
            mine = meta.c.name == row["name"]
            told = await connection.execute(select(meta.c.value).where(mine))
            if told.scalar_one() == row["value"]:
                return True
            held = (await connection.execute(select(files.c.id).limit(1))).first()
            if held is not None and not self._database.is_sqlite:
                return False
            await connection.execute(update(meta).where(mine).values(row))
            return True

    async def begin(self, record: FileRecord, quota_bytes: int) -> None:
        """Note a file that is about to be kept; its bytes count from now on.

        Raises:
            RequestError: the tenant's files would take more than `quota_bytes`.
        """
        async with self._database.begin() as connection:
            # Uploads of one tenant stand in line here: each must see what the others take.
            await self._database.take_turn(connection, f"files:{record.tenant}")
            blocks = (files.c.size_bytes + (_BLOCK - 1)) // _BLOCK
            taken = select(func.coalesce(func.sum(blocks), 0))
            used = await connection.execute(taken.where(files.c.tenant == record.tenant))
            before = _BLOCK * int(used.scalar_one())
            if before + _BLOCK * -(-record.size_bytes // _BLOCK) > quota_bytes:
                raise RequestError(
                    "there is no room for this file",
                    why=f"your files may take {quota_bytes} bytes and take {before}"
                    f" (each a multiple of {_BLOCK})",
                    fix="Delete files that you do not need.",
                    param="file",
                    code="storage_quota_exceeded",
                )
            await self._database.insert_many(connection, files, [astuple(unfinished(record))])

    async def finish(self, record: FileRecord) -> None:
        """The contents are there."""
        values = {"is_whole": True, "expires_s": record.expires_s}
        async with self._database.begin() as connection:
            await connection.execute(update(files).where(files.c.id == record.id).values(values))

    async def find(self, tenant: str, file_id: str) -> FileRecord | None:
        """Return a file; none where it is not there, not whole, or another's."""
        mine = (files.c.id == file_id) & (files.c.tenant == tenant) & files.c.is_whole
        async with self._database.begin() as connection:
            row = (await connection.execute(select(files).where(mine))).one_or_none()
        return FileRecord(*row) if row is not None else None

    async def page(
        self, tenant: str, purpose: str | None, page: Page, now_s: float
    ) -> list[FileRecord]:
        """Return files in the order in which they were made, one more than the page holds.

        Those whose time is over at `now_s` are not there any more.

        Raises:
            RequestError: there is no file to begin after.
        """
        asked = select(files).where(
            files.c.tenant == tenant, files.c.is_whole, files.c.expires_s >= now_s
        )
        if purpose is not None:
            asked = asked.where(files.c.purpose == purpose)
        at: tuple[float, str] | None = None
        if page.after is not None:
            first = await self.find(tenant, page.after)
            if first is None:
                raise no_start(page.after)
            at = first.created_s, first.id
        async with self._database.begin() as connection:
            rows = (await connection.execute(ordered(asked, files, page, at))).all()
        return [FileRecord(*row) for row in rows]

    async def claim(self, file_id: str) -> bool:
        """Take a file from everybody, before its contents go; false while a batch reads it.

        Whoever is killed then leaves a file that is not whole and is forgotten soon. A batch that
        is made at the same time has its file, or is told that there is none: both begin with a
        write to the file's row.
        """
        mine = update(files).where(files.c.id == file_id)
        reads = select(batches.c.id).where(
            batches.c.input_file_id == file_id, batches.c.status.in_(ACTIVE)
        )
        async with self._database.begin() as connection:
            await connection.execute(mine.values(is_whole=files.c.is_whole))
            if (await connection.execute(reads.limit(1))).first() is not None:
                return False
            await connection.execute(mine.values(is_whole=False, expires_s=0.0))
            return True

    async def forget(self, file_id: str) -> None:
        """Take a file out of the list; its contents must be gone."""
        async with self._database.begin() as connection:
            await connection.execute(delete(files).where(files.c.id == file_id))

    async def stale(self, now_s: float, after: Ending = FIRST) -> Sequence[Ending]:
        """Return some files whose time is over and that no batch reads, in order, behind `after`.

        Uploads that were given up are among them.
        """
        is_read = exists().where(
            batches.c.input_file_id == files.c.id, batches.c.status.in_(ACTIVE)
        )
        place = tuple_(files.c.expires_s, files.c.id)
        over = (files.c.expires_s < now_s) & (place > after) & ~is_read
        asked = select(files.c.expires_s, files.c.id).where(over)
        asked = asked.order_by(files.c.expires_s, files.c.id).limit(_SOME)
        async with self._database.begin() as connection:
            return [Ending(*row) for row in (await connection.execute(asked)).all()]


def unfinished(record: FileRecord) -> FileRecord:
    """Return a file as it is noted before its contents are there: soon forgotten, if nobody comes.

    So whatever is written somewhere has a row first, and nothing is left behind by a kill.
    """
    return replace(record, is_whole=False, expires_s=record.created_s + _UNFINISHED_S)
