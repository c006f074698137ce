"""A chain as it is written over time: segments end when full or old, and disks are seen to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.ground.clock import Clock
from penstock.registry.audit.chain import ChainWriter, find_tail, orphans
from penstock.registry.audit.links import At
from penstock.registry.audit.sealing import KeyWrapper


@dataclass(frozen=True, slots=True)
class Rules:
    """How segments are written: bytes and seconds until the next one, seconds between syncs."""

    segment_bytes: int = 16 * 1024 * 1024
    segment_s: float = 300.0
    sync_s: float = 1.0


class Book:
    """Writes one chain; belongs to one thread at a time."""

    def __init__(
        self,
        folder: Path,
        rules: Rules,
        wrapper: KeyWrapper | None,
        *,
        wall: Clock = time.time,
        clock: Clock = time.monotonic,
    ) -> None:
        """`folder` is the chain's own, beside those of other gateways."""
        self._folder, self._rules, self._wrapper = folder, rules, wrapper
        self._wall, self._clock = wall, clock
        self._begun_s = self._synced_s = clock()
        self._chain: ChainWriter | None = None

    def start(self) -> None:
        """Begin the chain, or go on where a process has left it.

        Raises:
            OSError: it cannot be written.
            UserError: there is no key for it.
        """
        chains = self._folder.parent
        chains.mkdir(mode=0o700, parents=True, exist_ok=True)
        tail = find_tail(self._folder) if self._folder.is_dir() else None
        parents = {} if tail else orphans(chains)
        self._chain = ChainWriter(self._folder, tail, parents, self._wrapper)
        self._chain.begin(self._wall())
        self._chain.write_head()

    @property
    def at(self) -> At:
        """Where the last entry came from."""
        return self._writer().at

    def append(self, entries: Sequence[tuple[At, bytes]]) -> None:
        """Append entries; those of one call are all written, or none is.

        Raises:
            OSError: none is.
        """
        self._writer().write(entries)

    def tell(self) -> None:
        """Let the chain's head tell of all that was written; that replaces a file.

        Raises:
            OSError: it does not; what was written is there.
        """
        self._writer().write_head()

    def tend(self) -> None:
        """Do what is due: see to the disk, begin the next segment."""
        chain, rules, now_s = self._writer(), self._rules, self._clock()
        if now_s - self._synced_s >= rules.sync_s:
            chain.sync()
            self._synced_s = now_s
        is_old = now_s - self._begun_s >= rules.segment_s
        if chain.size >= rules.segment_bytes or (is_old and chain.entries):
            chain.end(self._wall())
            self._writer()

    def sync(self) -> None:
        """See everything onto the disk."""
        self._writer().sync()

    def end(self, *, closed: bool) -> None:
        """End the segment; `closed`: the chain, too."""
        self._writer().end(self._wall(), closed=closed)

    def _writer(self) -> ChainWriter:
        chain = self._chain
        if chain is None:
            raise AssertionError("start comes first")
        if not chain.is_open:
            chain.begin(self._wall())
            self._begun_s = self._clock()
        return chain
