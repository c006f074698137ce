"""Answers kept in the memory of one gateway, least recently used ones leave first."""

from collections import OrderedDict

from penstock.ground import metrics
from penstock.ground.clock import Clock
from penstock.ground.metrics import Metric
from penstock.registry.cache.stored import Stored

_OVERHEAD = 512
"""Bytes an entry takes beside its answer: key, record, links; measured about 450."""


class MemoryStore:
    """Satisfies `AnswerStore`; bounded in entries and bytes."""

    def __init__(self, max_entries: int, max_bytes: int, *, clock: Clock) -> None:
        self._max_entries, self._max_bytes, self._clock = max_entries, max_bytes, clock
        self._answers: OrderedDict[bytes, tuple[float, Stored]] = OrderedDict()
        """With when each ends, by the clock."""
        self.size_bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, key: bytes) -> Stored | None:
        """Return what is kept under `key`; see `AnswerStore.get`."""
        ends_s, stored = self._answers.get(key, (0.0, None))
        if stored is None:
            return None
        if self._clock() >= ends_s:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        return stored

    def keep(self, key: bytes, stored: Stored) -> None:
        """Keep an answer, and let others go where there is no room."""
        size = _size_of(stored)
        if size > self._max_bytes:
            return
        if key in self._answers:
            self._drop(key)
        self._answers[key] = self._clock() + stored.lasts_s, stored
        self.size_bytes += size
        while len(self._answers) > self._max_entries or self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._answers)))
            self.evicted += 1

    def _drop(self, key: bytes) -> None:
        self.size_bytes -= _size_of(self._answers.pop(key)[1])

    async def get(self, key: bytes) -> Stored | None:
        """AnswerStore: look."""
        return self.find(key)

    async def put(self, key: bytes, stored: Stored) -> None:
        """AnswerStore: keep."""
        self.keep(key, stored)

    def levels(self) -> tuple[tuple[Metric, float], ...]:
        """AnswerStore: how full it is."""
        return (
            (metrics.CACHE_ENTRIES, len(self._answers)),
            (metrics.CACHE_BYTES, self.size_bytes),
            (metrics.CACHE_EVICTED, self.evicted),
        )

    async def close(self) -> None:
        """AnswerStore: nothing is open."""


def _size_of(stored: Stored) -> int:
    return len(stored.body) + _OVERHEAD
