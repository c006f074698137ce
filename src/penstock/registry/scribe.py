"""The scribe: makes of settled slots what is kept: entries of the ledger, lines of the audit.

What is asked of it is all or nothing for the ledger, and may be asked again: a line that the audit
has is not written twice. Slots are free only afterwards.
"""

import asyncio
import logging
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from penstock.ground.errors import StoreUnavailable
from penstock.registry.entries import Entry
from penstock.registry.slots import Kept, read_kept
from penstock.registry.stores.ports import Books, LeaseId

log = logging.getLogger("penstock.registry")


class Portion(NamedTuple):
    """What is to be written: slots by number, or the file that they were spilled to."""

    slots: "array[int] | list[int]"
    spilled: Path | None = None


class Shelf(Protocol):
    """Where slots lie: `slots.SlotFile`."""

    def entries(self, slots: Sequence[int]) -> list[Entry]:
        """Return the entries of settled slots."""

    def kept(self, slots: Sequence[int]) -> list[Kept]:
        """Return all that settled slots hold."""


class Lines(Protocol):
    """What writes the lines of requests: `audit.minutes.Minutes`."""

    entries: int

    def start(self) -> None:
        """Begin."""

    def write(self, ended: list[Kept]) -> None:
        """Write the lines that are not there yet."""

    def tend(self) -> None:
        """Do what is due."""

    def end(self, *, closed: bool) -> None:
        """End."""


class Scribe(Protocol):
    """Writes what settled slots hold."""

    apart: bool
    """Whether it has a process of its own: a portion costs little more than its lines then only
    where it is large, and a large one keeps nobody from the event loop."""

    @property
    def lines(self) -> int:
        """How many lines of the audit it has written."""

    async def start(self) -> None:
        """Get ready."""

    async def write(self, portion: Portion, held: Mapping[LeaseId, int], *, again: bool) -> None:
        """Write a portion, and what the gateway holds of its leases then; see `Books.write`.

        Raises:
            StoreUnavailable: perhaps it was written, perhaps not: come `again`.
        """

    async def tend(self) -> None:
        """Do what is due, whether or not there is anything to write."""

    async def close(self, *, complete: bool) -> None:
        """End; `complete`: nothing is left in the slots."""


class OwnScribe:
    """Works in the gateway's own process. Satisfies `Scribe`."""

    apart = False

    def __init__(self, books: Books, shelf: Shelf, replica: str, lines: Lines | None) -> None:
        """Without `lines` there is no audit of requests, or it is made elsewhere."""
        self._books, self._shelf, self._replica, self._lines = books, shelf, replica, lines

    @property
    def lines(self) -> int:
        """Scribe: lines written."""
        return self._lines.entries if self._lines is not None else 0

    async def start(self) -> None:
        """Scribe: begin the audit's chain.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        if self._lines is not None:
            await _audit(self._lines.start)

    async def write(self, portion: Portion, held: Mapping[LeaseId, int], *, again: bool) -> None:
        """Scribe: write a portion."""
        if self._lines is None and portion.spilled is None:
            entries = self._shelf.entries(portion.slots)
        else:
            kept = self._kept(portion)
            entries = [each.entry for each in kept]
            if self._lines is not None:
                await _audit(self._lines.write, kept)
        await self._books.write(entries, self._replica, held, again=again)

    def _kept(self, portion: Portion) -> list[Kept]:
        if portion.spilled is not None:
            return read_kept(portion.spilled)[1]
        return self._shelf.kept(portion.slots)

    async def tend(self) -> None:
        """Scribe: see to the audit's disk."""
        if self._lines is not None:
            await _audit(self._lines.tend)

    async def close(self, *, complete: bool) -> None:
        """Scribe: end the audit's chain."""
        if self._lines is not None:
            lines = self._lines
            await _audit(lambda: lines.end(closed=complete))


async def in_thread(step: Callable[..., None], *args: object) -> None:
    """Do a step; who is cancelled meanwhile is let go when its thread has ended.

    Else two threads were at one chain: the one that nobody waits for any more, and the next.
    """
    doing = asyncio.create_task(asyncio.to_thread(step, *args))
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait((doing,))
        if not doing.cancelled() and (error := doing.exception()):
            log.warning("what was done last was in vain: %s", error)
        raise


async def _audit(step: Callable[..., None], *args: object) -> None:
    try:
        await in_thread(step, *args)
    except OSError as error:
        raise StoreUnavailable("the audit cannot be written", why=error.strerror or "") from None
