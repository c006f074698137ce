"""The clerk of one gateway: everything about accounts that needs the database, off the hot path.

Two loops. `watch` asks for changes of tenants and keys. `work` writes settled slots to the
ledger and lets purses grow; it alone writes the leases of this replica, one step after the other,
so that what it remembers of them is what the database holds. A batch that could not be written is
kept, in order, and written before anything else; its slots are spilled to a file if it waits long.
"""

import asyncio
import fcntl
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from penstock.ground.clock import Clock
from penstock.ground.errors import NoRoom, StoreUnavailable
from penstock.registry.crowd import Crowd
from penstock.registry.entries import Entry
from penstock.registry.purse import Purse
from penstock.registry.scribe import OwnScribe, Portion, Scribe, in_thread
from penstock.registry.slots import SLOTS, Kept, Owner, SlotFile, read_kept, spill
from penstock.registry.stores.changes import Changes
from penstock.registry.stores.ports import Accounts, Books

_WATCH_EVERY_S = 0.4
_WORK_EVERY_S = 0.2
_REST_EVERY_S = 5.0
_IDLE_S = 10.0
_BATCH = 4000
_SPILL_ABOVE = SLOTS // 2
_UNAUDITED = ".unaudited"
"""Ends the name of slots that are in the ledger, but of which the audit lacks lines."""

log = logging.getLogger("penstock.registry")


@dataclass(slots=True)
class _Batch:
    """Settled slots on their way to the ledger, and what they cost each purse."""

    slots: list[int]
    due: dict[Purse, int]
    count: int
    tried: bool = False
    spilled: Path | None = None


@dataclass(slots=True)
class _Demand:
    amount: int
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class Undertaker(Protocol):
    """Completes the audit of the dead: `audit.minutes.Undertaker`."""

    def bury(self, replica: str, left: Iterable[Kept]) -> None:
        """Write what is missing of a dead gateway's lines."""


class Clerk:
    """Keeps the accounts of one gateway process."""

    def __init__(  # noqa: PLR0913  what it works with
        self,
        accounts: Accounts,
        books: Books,
        slots: SlotFile,
        *,
        on_changes: Callable[[Changes], None],
        purses: Callable[[], Iterable[Purse]],
        clock: Clock,
        scribe: Scribe | None = None,
        undertaker: Undertaker | None = None,
    ) -> None:
        """`on_changes` is told what changed; `purses` gives all that there are, old ones too.

        Without a `scribe` settled slots are written here, without an `undertaker` to the ledger
        alone.
        """
        self._accounts, self._books, self.slots = accounts, books, slots
        self.scribe = scribe or OwnScribe(books, slots, slots.owner.replica, None)
        self._undertaker = undertaker
        self._on_changes, self._purses, self._clock = on_changes, purses, clock
        self._replica = slots.owner.replica
        self._version = 0
        self._batches: deque[_Batch] = deque()
        self._demands: dict[Purse, _Demand] = {}
        self._crowd = Crowd()
        self._wake = asyncio.Event()
        self._rested_s = self._wrote_s = clock()
        self._spills = 0
        self.used_s: dict[str, float] = {}
        self.behind = False

    @property
    def waiting(self) -> int:
        """How many have ended and are not in the ledger yet."""
        return len(self.slots.settled) + sum(batch.count for batch in self._batches)

    # Changes

    async def refresh(self) -> None:
        """Learn what changed."""
        changes = await self._accounts.changes_since(self._version)
        if changes.version > self._version:
            self._version = changes.version
            self._on_changes(changes)

    async def watch(self) -> None:
        """Learn of changes for ever; run it as a task."""
        told = ""  # what keeps it from seeing them; once, not a hundred times a minute
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                await self.refresh()
            except StoreUnavailable as error:
                if told != "away":
                    log.warning("changes of keys are not seen: %s", error)
                told = "away"
            except Exception as error:
                # A defect must not end the only task that hears of revoked keys; it asks again.
                if told != repr(error):
                    log.exception("changes of keys could not be read")
                told = repr(error)
            else:
                if told:
                    log.warning("changes of keys are seen again")
                told = ""

    # Money

    def ask_for(self, purse: Purse, amount: int) -> None:
        """Let `purse` grow soon; nobody waits for it."""
        if purse not in self._demands:
            self._demands[purse] = _Demand(amount)
            self._wake.set()

    async def grow(self, purse: Purse, amount: int) -> None:
        """Wait until it was tried to make `purse` hold `amount` free.

        Raises:
            StoreUnavailable: the database was not reached.
        """
        demand = self._demands.setdefault(purse, _Demand(amount))
        demand.amount = max(demand.amount, amount)
        demand.waiting.append(asyncio.get_running_loop().create_future())
        self._wake.set()
        await demand.waiting[-1]

    async def room(self, full: NoRoom, longest_s: float) -> None:
        """Wait until some of the slots, which were all taken, were freed.

        Raises:
            NoRoom: that took too long, or the database is not reached; it is `full`.
        """
        if self.behind:
            raise full
        if not self.slots.room:
            await self._crowd.wait(full, longest_s)

    def _free(self, slots: list[int]) -> None:
        self.slots.free(slots)
        self._crowd.let_in()

    # Work

    async def work(self) -> None:
        """Write and lease for ever; run it as a task."""
        while True:
            try:
                async with asyncio.timeout(_WORK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self.step()
            except Exception as error:
                # A defect must not end the only task that writes the ledger.
                log.exception("the ledger could not be written")
                self._refuse_demands(StoreUnavailable(f"the clerk failed: {error!r}"))
                await asyncio.sleep(1.0)

    async def step(self) -> None:
        """Do all that is to be done now."""
        try:
            if self._has_enough():
                self._wrote_s = self._clock()
                await self.write()
            await self.scribe.tend()
            await self._lease()
            if self._clock() - self._rested_s > _REST_EVERY_S:
                self._rested_s = self._clock()
                await self._rest()
            if self.behind:
                log.warning("the ledger is written again")
            self.behind = False
        except StoreUnavailable as error:
            if not self.behind:
                log.warning("the ledger waits: %s", error)
            self.behind = True
            self._crowd.let_in()
            self._refuse_demands(error)
            if self.slots.open > _SPILL_ABOVE:
                self._collect()
                self._spill()

    def _has_enough(self) -> bool:
        """Whether it is time to write: a scribe apart is not woken for a handful."""
        waited_s = self._clock() - self._wrote_s
        many = len(self.slots.settled) >= _BATCH
        return many or waited_s >= _WORK_EVERY_S or bool(self._batches) or not self.scribe.apart

    async def write(self) -> None:
        """Write every settled slot to the ledger.

        Raises:
            StoreUnavailable: some are left; they are kept.
        """
        self._collect()
        while self._batches:
            batch = self._batches[0]
            again, batch.tried = batch.tried, True
            held = {purse.lease: purse.held - due for purse, due in batch.due.items()}
            await self.scribe.write(Portion(batch.slots, batch.spilled), held, again=again)
            self._batches.popleft()
            for purse, due in batch.due.items():
                purse.written(due)
            self._free(batch.slots)
            if batch.spilled is not None:
                batch.spilled.unlink()
            if not self.scribe.apart or len(self.slots.settled) >= _BATCH:
                self._collect()

    def _collect(self) -> None:
        """Make a batch of what was settled; amounts due and slots are taken at one instant."""
        settled = self.slots.settled
        if not settled:
            return
        self.slots.settled = []
        due = {purse: purse.due for purse in self._purses() if purse.due}
        for purse in due:
            purse.due = 0
        # The amounts belong to all slots together: they go with the last part of them.
        for start in range(0, len(settled), _BATCH):
            part = settled[start : start + _BATCH]
            owed = due if start + _BATCH >= len(settled) else {}
            self._batches.append(_Batch(part, owed, len(part)))

    def _spill(self) -> None:
        for batch in self._batches:
            if batch.spilled is None:
                self._spills += 1
                path = self.slots.path.with_name(f"{self._replica}.{self._spills}.spill")
                try:
                    spill(path, self.slots.owner, self.slots.raw(batch.slots))
                except OSError as error:
                    log.error("usage cannot be spilled to %s: %s", path, error.strerror)
                    path.unlink(missing_ok=True)
                    return
                batch.spilled = path
                self._free(batch.slots)
                batch.slots = []

    async def _lease(self) -> None:
        while self._demands:
            purse, demand = next(iter(self._demands.items()))
            least, most = purse.wanted(demand.amount)
            if least > purse.held or purse.is_low(demand.amount):
                least = max(least, purse.held + 1)
                grant = await self._books.lease(
                    purse.lease, self._replica, (least, most), purse.cap
                )
                purse.granted(grant.held, grant.left, self._clock())
            self._demands.pop(purse, None)
            for waiting in demand.waiting:
                if not waiting.done():
                    waiting.set_result(None)
            if alarm := purse.sound():
                log.warning("%s", alarm)

    def _refuse_demands(self, error: StoreUnavailable) -> None:
        demands, self._demands = self._demands, {}
        for demand in demands.values():
            for waiting in demand.waiting:
                if not waiting.done():
                    waiting.set_exception(error)

    async def _rest(self) -> None:
        """What can wait: idle money goes back, key use is noted, the dead are buried."""
        used, self.used_s = self.used_s, {}
        if used:
            await self._accounts.note_used(used)
        now_s = self._clock()
        for purse in list(self._purses()):
            if purse.touched:
                purse.touched, purse.used_s = False, now_s
            spare = purse.spare()
            if spare and not purse.reserved and not purse.due and now_s - purse.used_s > _IDLE_S:
                purse.gives(spare)
                await self._books.give_back(self._replica, {purse.lease: purse.held - spare})
                purse.held -= spare
                purse.left += spare
        await self.recover()

    # The dead

    async def recover(self) -> None:
        """Write what gateways that died on this machine left in their slot files.

        Raises:
            StoreUnavailable: it is left for the next time.
        """
        folder = self.slots.path.parent
        for path in sorted(folder.glob("*.slots")):
            if path != self.slots.path:
                await self._bury(path)
        for path in sorted(folder.glob(f"*{_UNAUDITED}")) if self._undertaker else ():
            await self._bury(path)

    async def _bury(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # it lives, or another gateway is at it
            if not os.access(path, os.F_OK):
                return  # it was, and is done
            owner, left = read_kept(path)
            spills = sorted(path.parent.glob(f"{owner.replica}.*.spill"))
            for spilled in spills:
                left += read_kept(spilled)[1]
            audited = await self._audit(owner, left)
            if path.suffix != _UNAUDITED:
                await self._inherit(owner, [each.entry for each in left])
            if not audited:
                os.rename(path, path.with_suffix(_UNAUDITED))
                return
            for each in (*spills, path):
                each.unlink(missing_ok=True)
        finally:
            os.close(descriptor)

    async def _audit(self, owner: Owner, left: list[Kept]) -> bool:
        """Complete the audit of a dead gateway; false where that is for one that has an audit."""
        if self._undertaker is None:
            return not any(each.way for each in left)
        try:
            await in_thread(self._undertaker.bury, owner.replica, left)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise StoreUnavailable("the audit of the dead cannot be written", why=why) from None
        return True

    async def _inherit(self, owner: Owner, entries: list[Entry]) -> None:
        once = list({entry.request_id: entry for entry in reversed(entries)}.values())
        for start in range(0, len(once), _BATCH):
            part = once[start : start + _BATCH]
            await self._books.write(part, owner.replica, {}, again=True)
        await self._books.end(owner.replica)
        log.warning("%s had died; %d requests of it are in the ledger", owner.replica, len(once))

    # The end

    async def close(self) -> None:
        """Write what is left and give everything back; what fails is left for a successor."""
        complete = False
        try:
            await self.write()
            while self.slots.settled:  # what came while it wrote
                await self.write()
            complete = not self.slots.open
            if complete:
                await self._books.end(self._replica)
                self.slots.remove()
            if self.used_s:
                await self._accounts.note_used(self.used_s)
        except StoreUnavailable as error:
            log.warning("the ledger is not complete: %s; the next start completes it", error)
        try:
            await self.scribe.close(complete=complete)
        except StoreUnavailable as error:
            log.warning("the scribe did not end well: %s", error)
