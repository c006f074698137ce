"""The archivist: a thread that makes lines of what is in the spool, and gives its files back.

It joins beginnings and ends, redacts, chains, seals, writes, and sees to the disk every second.
A spool file goes back only when all its records are in segments that were seen onto the disk.
Requests that are still running then are carried in a small file, so one long answer holds no
files back. What it cannot write it keeps and tries again: the spool holds it all the while.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from penstock.ground.clock import Clock
from penstock.ground.errors import PenstockError
from penstock.registry.audit import records, spool
from penstock.registry.audit.book import Book, Rules
from penstock.registry.audit.chain import ChainWriter, find_tail, orphans
from penstock.registry.audit.links import At
from penstock.registry.audit.records import AuditEntry, Begun, Contents, entry_of
from penstock.registry.audit.sealing import KeyWrapper
from penstock.registry.audit.spool import BEGIN, END, WHOLE, Record, Spool

CHAINS, SPOOLS = "chains", "spool"
_EVERY_S = 0.05
_HEIRS_EVERY_S = 5.0
_BATCH = 500
_MOST_BACKOFF_S = 30.0

log = logging.getLogger("penstock.audit")


class Archivist:
    """Works on one spool; `start` and `stop` belong to the event loop's thread."""

    def __init__(  # noqa: PLR0913  what it is made of
        self,
        folder: Path,
        own: Spool,
        rules: Rules,
        contents: Contents,
        wrapper: KeyWrapper | None,
        *,
        wall: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        self._folder, self._own, self._contents = folder, own, contents
        self._wrapper, self._wall, self._clock = wrapper, wall, clock
        place = folder / CHAINS / own.folder.name
        self._book = Book(place, rules, wrapper, wall=wall, clock=clock)
        self._open: dict[bytes, tuple[Record, Begun]] = {}
        self._inherited_s = clock() - _HEIRS_EVERY_S
        self._spoiled: set[str] = set()
        self._ending = threading.Event()
        self._failing = False
        self._told = True
        self._waiting: list[tuple[At, bytes]] = []
        self.entries = self.failures = 0
        self._thread = threading.Thread(target=self._run, name="archivist", daemon=True)

    def start(self) -> None:
        """Make sure that the chain can be written, and begin.

        Raises:
            OSError: it cannot.
            UserError: there is no key for it.
        """
        self._book.start()
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and end the chain; what fails is left to the next gateway."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def lag_bytes(self) -> int:
        """Bytes in the spool."""
        return self._own.size_bytes

    def _run(self) -> None:
        backoff_s = _EVERY_S
        while not self._ending.wait(backoff_s):
            backoff_s = self._try(self._step, backoff_s)
        failures = self.failures
        self._try(self._finish, 0.0)
        if self.failures > failures:
            log.error("the audit is not complete; the next gateway completes it")

    def _try(self, step: Callable[[], None], backoff_s: float) -> float:
        """Do it; returns how long to wait until the next time."""
        try:
            step()
        except (OSError, PenstockError) as error:
            self.failures += 1
            if not self._failing:
                log.error("the audit waits: %s", error)
            self._failing = True
            return min(_MOST_BACKOFF_S, max(_EVERY_S, backoff_s) * (1.5 + random.random()))  # noqa: S311
        except Exception:
            # A defect must not end the only thread that archives; what it had is in the spool
            # still, and where that is full, requests are refused.
            log.exception("the audit could not be written")
            self.failures += 1
            return _MOST_BACKOFF_S
        if self._failing:
            log.warning("the audit is written again")
        self._failing = False
        return _EVERY_S

    def _step(self) -> None:
        self._own.prepare()
        self._write()  # what was left when it failed
        while True:
            found = self._own.read(_BATCH)
            self._take(found)
            self._write()
            if len(found) < _BATCH:
                break
        self._book.tend()
        self._give_back()
        now_s = self._clock()
        if now_s - self._inherited_s >= _HEIRS_EVERY_S:
            self._inherited_s = now_s
            self.inherit()

    def _take(self, found: list[Record]) -> None:
        for record in found:
            at = (1, record.file, record.offset)
            if record.kind == BEGIN:
                begun = records.read_begun(record.payload)
                request_id = begun.identity.partition(b"\0")[0]
                self._open[request_id] = (record, begun)
            elif record.kind == WHOLE:
                self._waiting.append((at, record.payload))
            else:
                entry = _joined(record, self._open, self._contents)
                if entry is not None:
                    self._waiting.append((at, msgspec.json.encode(entry)))

    def _write(self) -> None:
        """Write lines, then let the head tell of them; where it cannot, they are there anyway."""
        if self._waiting:
            self._book.append(self._waiting)
            self.entries += len(self._waiting)
            self._waiting, self._told = [], False
        if not self._told:
            self._book.tell()
            self._told = True

    def _give_back(self) -> None:
        """Give files back whose records are all on disk; running requests in them are carried."""
        finished = self._own.finished()
        if not finished:
            return
        self._book.sync()
        last = max(finished)
        carried = [record for record, _ in self._open.values() if record.file <= last]
        spool.write_carried(self._own.folder, carried)
        for number in finished:
            self._own.release(number)

    def _finish(self) -> None:
        self._take(self._own.read(1 << 30))
        self._write()
        self._book.end(closed=not self._open)
        if not self._open:
            self._own.remove()

    # The dead

    def inherit(self) -> None:
        """Write what gateways that died on this machine left in their spools."""
        for folder in sorted((self._folder / SPOOLS).iterdir()):
            if folder == self._own.folder or folder.name in self._spoiled:
                continue
            if folder.name.startswith("."):  # it is being made
                continue
            try:
                lock = spool.take_lock(folder, wait=False)
            except (BlockingIOError, FileNotFoundError):
                continue  # it lives, or another gateway is at it
            try:
                self._bury(folder)
            except msgspec.DecodeError as error:
                self._spoiled.add(folder.name)
                log.error("the audit of %s, which died, cannot be read: %s", folder.name, error)
            finally:
                os.close(lock)

    def _bury(self, folder: Path) -> None:
        place = self._folder / CHAINS / folder.name
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        tail = find_tail(place)
        left = _left_in(folder, tail.at if tail else (0, 0, 0), self._contents)
        parents = {} if tail else orphans(self._folder / CHAINS)
        chain = ChainWriter(place, tail, parents, self._wrapper)
        chain.begin(self._wall())
        for start in range(0, len(left), _BATCH):
            chain.write(left[start : start + _BATCH])
        chain.end(self._wall(), closed=True)
        self.entries += len(left)
        log.warning("%s had died; %d lines of it were added to the audit", folder.name, len(left))
        spool.clear(folder)


def _joined(
    record: Record, begun: dict[bytes, tuple[Record, Begun]], contents: Contents
) -> AuditEntry | None:
    ended = records.read_ended(record.payload)
    found = begun.pop(ended.request_id, None)
    return entry_of(found[1], ended, contents) if found else None


def _left_in(folder: Path, written: At, contents: Contents) -> list[tuple[At, bytes]]:
    """Return the lines that a dead gateway had not written: first what ended, then what died."""
    begun: dict[bytes, tuple[Record, Begun]] = {}
    left: list[tuple[At, bytes]] = []
    for record in (*spool.read_carried(folder), *spool.read_left(folder)):
        at: At = (1, record.file, record.offset)
        if record.kind == BEGIN:
            each = records.read_begun(record.payload)
            begun[each.identity.partition(b"\0")[0]] = (record, each)
        elif record.kind == END:
            entry = _joined(record, begun, contents)
            if entry is not None and at > written:
                left.append((at, msgspec.json.encode(entry)))
        elif at > written:
            left.append((at, record.payload))
    for record, each in sorted(begun.values(), key=lambda pair: pair[0][:2]):
        at = (2, record.file, record.offset)
        if at > written:
            left.append((at, msgspec.json.encode(entry_of(each, None, contents))))
    return left
