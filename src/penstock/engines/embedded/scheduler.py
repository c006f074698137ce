"""Decides what each step computes: continuous batching with chunked prefill.

Every step decodes one token for each running answer and spends what is left of the token budget
on prompts, first come first served, so a long prompt is computed in pieces and never stalls the
answers already running.

The order of rows is an invariant that the cache and the batch build on: decoding rows first, and
after them at most one row whose prompt is still being computed.
"""

from collections import deque

from penstock.engines.embedded.batch import Batch, Piece, lay_out
from penstock.engines.embedded.cache import Cache
from penstock.engines.embedded.sequence import Sequence

PROMPT_SHARE = 32
"""Prompt tokens a step computes even when decoding alone fills the budget."""


class Scheduler:
    """The running and the waiting answers; `running[n]` occupies row n of the cache."""

    def __init__(self, cache: Cache, *, token_budget: int, windows: set[int | None]) -> None:
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self._cache, self._budget, self._windows = cache, token_budget, windows

    @property
    def busy(self) -> bool:
        """True when there is something to compute."""
        return bool(self.running or self.waiting)

    @property
    def usage(self) -> float:
        """Share of the cache that holds tokens, 0 to 1."""
        room = self._cache.room
        return sum(sequence.cached for sequence in self.running) / (room.rows * room.length)

    def plan(self, now_s: float) -> tuple[Batch, list[Sequence]]:
        """Lay out the next step; return it with the sequences that get a token from it.

        Their logits are the first rows of the result, in order.
        """
        decoding = [
            Piece(sequence.row, sequence.cached, [sequence.last], sequence.order.adapter)
            for sequence in self.running
            if sequence.decoding
        ]
        budget = max(self._budget - len(decoding), min(self._budget, PROMPT_SHARE))
        prompts = []
        for sequence in self.running[len(decoding) :]:
            prompts.append(_take(sequence, budget))
            budget -= len(prompts[-1].tokens)
        while self.waiting and budget > 0 and len(self.running) < self._cache.room.rows:
            sequence = self.waiting.popleft()
            sequence.row, sequence.started_s = len(self.running), now_s
            self.running.append(sequence)
            prompts.append(_take(sequence, budget))
            budget -= len(prompts[-1].tokens)
        for piece in decoding + prompts:
            self.running[piece.row].cached = piece.stop
        ready = [s for s in self.running if s.decoding or s.cached == len(s.order.prompt)]
        return lay_out(decoding, prompts, self._windows), ready

    def remove(self, sequence: Sequence) -> bool:
        """Forget a sequence, keeping the rows dense and in order; false when it is not here."""
        if sequence in self.waiting:
            self.waiting.remove(sequence)
            return True
        if sequence.row < 0:
            return False
        gap = sequence.row
        for last in (self._last_decoding(), len(self.running) - 1):
            if gap < last:
                self._move(last, gap)
                gap = last
        self.running.pop()
        sequence.row = -1
        return True

    def _last_decoding(self) -> int:
        partial = bool(self.running) and not self.running[-1].decoding
        return len(self.running) - 1 - partial

    def _move(self, source: int, target: int) -> None:
        moved = self.running[source]
        self._cache.move(source, target, moved.cached)
        self.running[target], moved.row = moved, target


def _take(sequence: Sequence, budget: int) -> Piece:
    prompt, start = sequence.order.prompt, sequence.cached
    return Piece(sequence.row, start, prompt[start : start + budget], sequence.order.adapter)
