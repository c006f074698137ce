"""One batch, run by one gateway: checked, asked line by line, made into files.

Its hold on the batch is renewed all the while. Who cannot renew it for half of its time stops:
another gateway may take it from then on. What was kept before is not asked again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from penstock.gateway.batching.asker import Asker
from penstock.gateway.batching.course import CANCELLED, EXPIRED, NO_KEY, Course
from penstock.gateway.batching.kit import Kit
from penstock.gateway.batching.lines import Problem, Rules, check, names_in
from penstock.gateway.batching.results import Results, Written
from penstock.ground.errors import StoreUnavailable
from penstock.registry.batches.contents import Missing, told
from penstock.registry.batches.records import BatchRecord, FileRecord
from penstock.registry.stores.batches import Hold

DEFECT = Problem(
    "internal_error", None, "The gateway could not run this batch; its log says why.", None
)

log = logging.getLogger("penstock.gateway")


class Runner:
    """Runs one batch that this gateway holds."""

    def __init__(self, kit: Kit, batch: BatchRecord) -> None:
        self._kit, self._batch = kit, batch
        self._hold = Hold(batch.id, kit.owner, batch.generation)
        self._course = Course(kit.idle)
        self._results = Results(kit.contents, batch, Path(kit.told.folder), kit.threads)
        self._asker = Asker(kit, batch, self._results, self._course)
        self._is_closing = False
        """Whether our hold may have ended because the batch has, by us."""
        self._news = asyncio.Event()

    @property
    def tenant(self) -> str:
        """Whose batch it is."""
        return self._batch.tenant

    def look(self) -> None:
        """Something was changed about the batch: look at it soon."""
        self._news.set()

    async def run(self) -> None:
        """Run the batch to its end, or until it is not ours any more.

        Whatever else than `StoreUnavailable` comes out of it is a defect: it ends the batch, too,
        once its time is over.

        Raises:
            StoreUnavailable: it cannot go on now.
        """
        work = asyncio.create_task(self._work())
        keep = asyncio.create_task(self._keep())
        try:
            ended, _ = await asyncio.wait({work, keep}, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.result()
        except StoreUnavailable:
            raise
        except Exception:
            # Its owner tells of it and tries again; when the time is over, nobody would any more.
            if self._kit.wall() >= self._batch.expires_s:
                await self._fail([DEFECT])
            raise
        finally:
            keep.cancel()
            work.cancel()
            await asyncio.gather(keep, work, return_exceptions=True)
            await self._results.close()
            with suppress(StoreUnavailable):
                await self._results.flush()
            with suppress(StoreUnavailable):
                await self._kit.store.release(self._hold)

    async def _keep(self) -> None:
        """Renew the hold until that does not go on; then the batch is not ours to work at."""
        kit, every_s = self._kit, self._kit.told.lease_s / 5
        renewed_s = kit.clock()
        while True:
            self._news.clear()
            try:
                async with asyncio.timeout(kit.told.lease_s / 2):
                    status = await kit.store.beat(self._hold, self._results.counts)
            except (StoreUnavailable, TimeoutError):
                if kit.clock() - renewed_s >= kit.told.lease_s / 2:
                    return
            else:
                renewed_s = kit.clock()
                if status is not None:
                    self._look_at(status)
                elif not self._is_closing:
                    return
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._news.wait()

    def _look_at(self, status: str) -> None:
        if status == "cancelling":
            self._course.stop(CANCELLED)
        elif self._kit.wall() >= self._batch.expires_s:
            self._course.stop(EXPIRED)

    async def _work(self) -> None:
        async with self._room() as room:
            place = await self._input(room)
            if place is not None and not self._batch.total and not await self._is_right(place):
                return
            self._look_at(self._batch.status)
            await self._results.load()
            if place is not None and self._course.ending is None:
                await self._results.open()
                await self._asker.ask_all(place)
                await self._results.flush(waits=True)
            await self._finish(place)

    @asynccontextmanager
    async def _room(self) -> AsyncIterator[Path]:
        """Give a folder of this machine, and remove it."""
        room = await self._kit.threads.do(self._make_room)
        try:
            yield Path(room.name)
        finally:
            await self._kit.threads.do(room.cleanup)

    def _make_room(self) -> "TemporaryDirectory[str]":
        folder = self._kit.told.folder
        with told():
            return TemporaryDirectory(prefix="made-", dir=folder, ignore_cleanup_errors=True)

    async def _input(self, room: Path) -> Path | None:
        """Return the batch's file; none where it is gone, and nothing more is to be asked.

        While the place of the files cannot be asked, nothing is known: what was answered would be
        thrown away.
        """
        name = f"files/{self._batch.input_file_id}"
        try:
            return await self._kit.threads.do(self._kit.contents.borrow, name, room / "input")
        except Missing:
            is_over = self._kit.wall() >= self._batch.expires_s
            if not is_over and self._batch.status != "cancelling":
                raise
            return None

    # Checking

    async def _is_right(self, place: Path) -> bool:
        """Check the file; a batch with something wrong in it has failed."""
        kit = self._kit
        if self._batch.status == "cancelling":
            self._course.stop(CANCELLED)
        caller = await self._asker.caller()
        if caller is None:
            if self._course.ending is NO_KEY:
                await self._fail([Problem(NO_KEY.code, None, NO_KEY.message, None)])
            else:
                await self._close(Written(None, None, 0))
            return False
        rules = Rules(
            self._batch.endpoint,
            kit.told.max_lines,
            kit.settings.max_body_bytes,
            lambda model: model in kit.admission.routes and caller.may_use(model),
        )
        checked = await check(place, rules, kit.threads)
        if checked.problems:
            await self._fail(checked.problems)
            return False
        values = {"in_progress_s": kit.wall(), "total": checked.total}
        begun = {**values, "status": "in_progress"}
        if not await kit.store.advance(self._hold, ("validating",), begun):
            await kit.store.advance(self._hold, ("cancelling",), values)
            self._course.stop(CANCELLED)
        self._batch = replace(self._batch, total=checked.total)
        return True

    async def _fail(self, problems: list[Problem]) -> None:
        errors = msgspec.json.encode({"object": "list", "data": problems}).decode()
        values = {"status": "failed", "failed_s": self._kit.wall(), "errors": errors}
        await self._kit.store.close(self._hold, values)

    # Ending

    async def _finish(self, place: Path | None) -> None:
        """Make the files; without its own file, which is gone, of what was answered alone."""
        kit, hold, course = self._kit, self._hold, self._course
        stages = ("in_progress", "finalizing")
        if course.ending is not CANCELLED:
            values = {"status": "finalizing", "finalizing_s": kit.wall()}
            if not await kit.store.advance(hold, stages, values):
                course.stop(CANCELLED)
        planned = self._results.planned(kit.wall())
        if not await kit.store.plan(hold, planned):
            return
        named: Iterator[tuple[int, str]] = iter(())
        if place is not None:
            named = names_in(place, kit.settings.max_body_bytes)
        written = await kit.threads.do(self._results.write_out, named, course.ending, planned)
        await self._close(written, planned)

    async def _close(self, written: Written, planned: Sequence[FileRecord] = ()) -> None:
        """End the batch; lines without a result count as failed."""
        ended, ending = "completed", self._course.ending
        if ending in (CANCELLED, EXPIRED):
            ended = "cancelled" if ending is CANCELLED else "expired"
        values = {
            "status": ended,
            f"{ended}_s": self._kit.wall(),
            "completed": written.completed,
            "failed": self._batch.total - written.completed,
            "output_file_id": written.output.id if written.output else None,
            "error_file_id": written.errors.id if written.errors else None,
        }
        made = [each for each in (written.output, written.errors) if each is not None]
        self._is_closing = True
        if not await self._kit.store.close(self._hold, values, planned, made):
            return
        try:
            await self._kit.threads.do(self._results.forget)
        except StoreUnavailable as error:
            log.warning("parts of %s stay for some days: %s", self._batch.id, error)
