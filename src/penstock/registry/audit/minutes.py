"""The audit's lines of requests, made of the ledger's slots where nothing is kept of contents.

A slot tells who asked what, when, and how it ended, and outlives `kill -9`; a record of the same
in a spool would cost each request as much again. Ends are numbered in their order and are written
in that order, so a chain's last line tells which of them it has: whoever finds the slots of a dead
gateway adds the others, once, and then what had not ended. One chain a gateway, beside the one of
its spool, which then holds calls of tools and what administrators do.
"""

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from penstock.ground.clock import Clock
from penstock.registry.audit.book import Book
from penstock.registry.audit.chain import ChainWriter, find_tail, orphans
from penstock.registry.audit.links import At
from penstock.registry.audit.records import AuditEntry
from penstock.registry.audit.sealing import KeyWrapper
from penstock.registry.slots import WAYS, Kept

SUFFIX = "-requests"
"""What the chain's name has behind its gateway's."""
_ENDED, _DIED = 1, 2
_ONE_CALL = 500
_encode: Final = msgspec.json.Encoder().encode

log = logging.getLogger("penstock.audit")


class Minutes:
    """Writes the lines of one gateway's requests; belongs to one thread at a time."""

    def __init__(self, book: Book) -> None:
        """`start` comes first."""
        self._book = book
        self._told = True
        self.entries = 0

    def start(self) -> None:
        """Begin the chain; raises as `Book.start` does."""
        self._book.start()

    def write(self, ended: Iterable[Kept]) -> None:
        """Write lines of what has ended, in the order of their numbers; those there are left out.

        Raises:
            OSError: not all were written; come again with all of them.
        """
        last = self._book.at[2]
        lines = [
            ((_ENDED, 0, each.number), _line_of(each))
            for each in ended
            if each.way and each.number > last
        ]
        for start in range(0, len(lines), _ONE_CALL):
            part = lines[start : start + _ONE_CALL]
            self._book.append(part)
            self.entries += len(part)
            self._told = False
        if not self._told:
            self._book.tell()
            self._told = True

    def tend(self) -> None:
        """Do what is due; raises as `write` does."""
        self._book.tend()

    def end(self, *, closed: bool) -> None:
        """End; `closed`: all that there was is written."""
        self._book.end(closed=closed)


class Undertaker:
    """Adds to the chains of dead gateways what their slots still held."""

    def __init__(
        self, chains: Path, wrapper: KeyWrapper | None, *, wall: Clock = time.time
    ) -> None:
        self._chains, self._wrapper, self._wall = chains, wrapper, wall

    def bury(self, replica: str, left: Iterable[Kept]) -> None:
        """Write what is missing; nobody else may have the dead one's slots.

        Raises:
            OSError: not all was written; come again.
        """
        lines = sorted((_at(each), _line_of(each)) for each in _once(left) if each.way)
        place = self._chains / (replica + SUFFIX)
        if not lines and not place.is_dir():
            return
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        tail = find_tail(place)
        parents = {} if tail else orphans(self._chains)
        missing = [each for each in lines if tail is None or each[0] > tail.at]
        chain = ChainWriter(place, tail, parents, self._wrapper)
        chain.begin(self._wall())
        for start in range(0, len(missing), _ONE_CALL):
            chain.write(missing[start : start + _ONE_CALL])
        chain.end(self._wall(), closed=True)
        log.warning("%s had died; %d requests of it are in the audit", replica, len(missing))


def _at(kept: Kept) -> At:
    return (_ENDED, 0, kept.number) if kept.number else (_DIED, 0, kept.place)


def _once(left: Iterable[Kept]) -> Iterable[Kept]:
    """Leave out the second of two slots of one request, which was being moved when all ended."""
    return {each.entry.request_id: each for each in reversed(list(left))}.values()


def _line_of(kept: Kept) -> bytes:
    told: tuple[Any, ...] = kept.entry  # taken apart at once: an attribute costs as much as ten
    (
        request_id, admitted_s, tenant, key_id, model, adapter, engine, outcome,
        prompt, cached, completion, estimated, cost, _, total_ms, _, _, note,
    ) = told  # fmt: skip
    line = AuditEntry(
        admitted_s,
        "request",
        request_id,
        tenant,
        key_id,
        model,
        adapter,
        engine,
        WAYS[kept.way - 1],
        outcome,
        0,
        prompt,
        cached,
        completion,
        estimated,
        cost,
        int(total_ms * 1000 + 0.5) / 1_000_000,  # `round` makes a text of it, and reads that
        note=note,
    )
    return _encode(line)
