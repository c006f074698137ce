"""The loop that turns waiting answers into text.

A step of a small model takes a millisecond, less than handing it to a thread and fighting over
the interpreter's lock would cost, so it runs inside the event loop, which gets its turn after
every step. A larger model's steps run in a worker thread. Either way one step runs at a time, and
what reaches the engine while one runs (arrivals, aborts) waits in a list for the next.
"""

import asyncio
import time
from collections.abc import Callable

import numpy as np

from penstock.engines.embedded.cache import Cache, Room
from penstock.engines.embedded.metrics import State, Tally
from penstock.engines.embedded.model import Transformer
from penstock.engines.embedded.sampler import sample
from penstock.engines.embedded.scheduler import Scheduler
from penstock.engines.embedded.sequence import Delta, Finish, Order, Sequence
from penstock.engines.embedded.tokenizer import Tokenizer
from penstock.ground.clock import Clock, monotonic

INLINE_PARAMETERS = 20_000_000
"""Models up to this size compute inside the event loop."""


class Engine:
    """One loaded model that answers many orders at once."""

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        room: Room,
        *,
        token_budget: int = 256,
        clock: Clock = monotonic,
    ) -> None:
        self.model, self.tokenizer, self.room = model, tokenizer, room
        self.tally = Tally()
        self._cache = Cache(model.shape, room)
        self._scheduler = Scheduler(self._cache, token_budget=token_budget, windows=model.windows)
        self._clock = clock
        self._random = np.random.default_rng()
        self._arrived: list[Sequence] = []
        self._aborted: list[Sequence] = []
        self._wake = asyncio.Event()

    def submit(self, order: Order, deliver: Callable[[Delta], None]) -> Sequence:
        """Queue an answer; its deltas come to `deliver` in the event loop."""
        sequence = Sequence.begin(
            order,
            deliver,
            tokenizer=self.tokenizer,
            vocabulary=self.model.shape.vocabulary,
            now_s=self._clock(),
        )
        self._arrived.append(sequence)
        self._wake.set()
        return sequence

    def abort(self, sequence: Sequence) -> None:
        """Stop computing an answer nobody waits for; does nothing when it has ended."""
        self._aborted.append(sequence)
        self._wake.set()

    def state(self, max_adapters: int) -> State:
        """Return what the engine is doing now."""
        running = list(self._scheduler.running)
        waiting = [*self._scheduler.waiting, *self._arrived]
        return State(
            running=len(running),
            waiting=len(waiting),
            cache_usage=self._scheduler.usage,
            max_adapters=max_adapters,
            running_adapters=[s.order.adapter.name for s in running if s.order.adapter],
            waiting_adapters=[s.order.adapter.name for s in waiting if s.order.adapter],
            now_s=time.time(),
        )

    @property
    def busy(self) -> bool:
        """True when there is something to compute."""
        return self._scheduler.busy

    async def run(self) -> None:
        """Compute until cancelled; on a failure, tell every waiting answer and raise."""
        inline = self.model.parameters <= INLINE_PARAMETERS
        try:
            while True:
                self.take_in()
                if not self.busy:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                deltas = self.step() if inline else await asyncio.to_thread(self.step)
                for sequence, delta in deltas:
                    sequence.deliver(delta)
                await asyncio.sleep(0)
        finally:
            failed = Delta("", finish=Finish.ERROR)
            for sequence in [*self._scheduler.running, *self._scheduler.waiting, *self._arrived]:
                self.tally.finished[Finish.ERROR] += 1
                sequence.deliver(failed)

    def step(self) -> list[tuple[Sequence, Delta]]:
        """Compute one step; return what it added to which answer."""
        batch, ready = self._scheduler.plan(self._clock())
        logits = self.model.forward(batch, self._cache)
        choosers = [sequence.chooser for sequence in ready]
        tokens, logprobs = sample(logits[: len(ready)], choosers, self._random)
        now_s = self._clock()
        deltas = []
        for sequence, token, logprob in zip(ready, tokens, logprobs, strict=True):
            delta = sequence.accept(token, logprob)
            self._count(sequence, delta, now_s)
            deltas.append((sequence, delta))
        for sequence, delta in deltas:
            if delta.finish:
                self._scheduler.remove(sequence)
        return deltas

    def take_in(self) -> None:
        """Queue what arrived and drop what was aborted; not while a step is computed."""
        arrived, self._arrived = self._arrived, []
        self._scheduler.waiting.extend(arrived)
        aborted, self._aborted = self._aborted, []
        for sequence in aborted:
            if self._scheduler.remove(sequence):
                self.tally.finished[Finish.ABORT] += 1

    def _count(self, sequence: Sequence, delta: Delta, now_s: float) -> None:
        tally = self.tally
        tally.generation_tokens += 1
        if sequence.made == 1:
            tally.prompt_tokens += len(sequence.order.prompt)
            tally.queued.observe(sequence.started_s - sequence.arrived_s)
            tally.first_token.observe(now_s - sequence.arrived_s)
        else:
            tally.between_tokens.observe(now_s - sequence.last_token_s)
        sequence.last_token_s = now_s
        if delta.finish:
            tally.finished[delta.finish] += 1
            tally.whole.observe(now_s - sequence.arrived_s)
