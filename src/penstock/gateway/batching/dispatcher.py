"""Which batches this gateway runs: those that nobody runs, or that nobody has been heard of.

Each tenant has its turn: who has a hundred batches that take all day keeps nobody else from
running one. Also finds out that a gateway looks at another folder than those with which it shares
a database: such a one keeps no files and runs no batches.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from prometheus_client.metrics_core import Metric as Family

from penstock.gateway.batching.heard import Heard
from penstock.gateway.batching.kit import Kit
from penstock.gateway.batching.runner import Runner
from penstock.gateway.batching.sweeper import Sweeper
from penstock.gateway.meters import counter, gauge
from penstock.ground import metrics
from penstock.ground.errors import StoreUnavailable
from penstock.registry.batches.records import BatchRecord
from penstock.registry.stores.batches import Sight
from penstock.registry.stores.files import FileStore

_LOOK_EVERY_S = 1.0
_SWEEP_EVERY_S = 60.0
_AGAIN_S = 10.0
_MOST_AGAIN_S = 600.0
_MOST, _MOST_OF_ONE = 16, 4
"""Batches that one gateway runs at a time, and those of one tenant among them."""
_MOST_TENANTS = 256
"""Who runs none may run one even then, up to so many."""

log = logging.getLogger("penstock.gateway")


class Dispatcher:
    """The batches of one gateway. Satisfies `server.Background`."""

    def __init__(self, kit: Kit, files: FileStore) -> None:
        self._kit, self._files = kit, files
        self._sweeper = Sweeper(kit, files)
        self._runners: dict[str, Runner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = Heard(kit.told.lease_s, kit.clock)
        self._not_before_s: dict[str, float] = {}
        self._defects: Counter[str] = Counter()
        self._complaints: dict[str, str] = {}
        self._news = asyncio.Event()
        self.trouble = "the gateway is starting"
        """Why files cannot be kept here; empty where they can."""

    def look(self, batch_id: str) -> None:
        """A batch is new, or something was changed about it."""
        if batch_id in self._runners:
            self._runners[batch_id].look()
        self._news.set()

    async def start(self) -> None:
        """Background: see whether files can be kept."""
        await self._open()

    def _mark(self) -> str:
        with suppress(OSError):  # what is wrong with it, the contents tell
            Path(self._kit.told.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._kit.contents.mark()

    async def _open(self) -> None:
        before = self.trouble
        try:
            mark = await self._kit.threads.do(self._mark)
            shared = await self._files.place(mark)
        except StoreUnavailable as error:
            self.trouble = str(error)
        else:
            self.trouble = "" if shared else (
                "this gateway's files lie elsewhere than those of the others on its database:"
                " give all of them one folder that they share, or S3 (`batches.to`)"
            )  # fmt: skip
        if self.trouble and self.trouble != before:
            log.warning("no files are kept here and no batches run: %s", self.trouble)

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Background: run what there is to run, and forget what is over."""
        return (self._watch(), self._sweep(), self._kit.idle.watch())

    async def stop(self) -> None:
        """Background: nothing is left."""
        self._kit.threads.close()

    async def _watch(self) -> None:
        try:
            while True:
                self._news.clear()
                if not self.trouble:
                    await self._try("batches cannot be looked for", self._take_what_is_free)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._news.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _try(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        """Do a step that is done again and again; what goes wrong with it is told once."""
        why = ""
        try:
            await step()
        except StoreUnavailable as error:
            why = str(error)
            if why != self._complaints.get(what):
                log.warning("%s: %s", what, why)
        except Exception as error:
            # A gateway ends with any of its loops: a defect of batches must not end all the rest.
            why = repr(error)
            if why != self._complaints.get(what):
                log.exception("%s", what)
        self._complaints[what] = why

    async def _take_what_is_free(self) -> None:
        active = await self._kit.store.active()
        for known in (self._not_before_s, self._defects):
            for batch_id in known.keys() - {one.id for one in active}:
                del known[batch_id]
        running = Counter(runner.tenant for runner in self._runners.values())
        free = self._heard.free(active)
        for seen in sorted(free, key=lambda one: running[one.tenant]):
            if seen.id in self._runners or not self._may_be_tried(seen):
                continue
            of_tenant = sum(r.tenant == seen.tenant for r in self._runners.values())
            if _has_room(len(self._runners), of_tenant):
                batch = await self._kit.store.take(seen, self._kit.owner)
                if batch is not None:
                    self._run(batch)

    def _may_be_tried(self, seen: Sight) -> bool:
        """Whether it is not to wait because it could not be run just now."""
        return self._not_before_s.get(seen.id, 0.0) <= self._kit.clock()

    def _run(self, batch: BatchRecord) -> None:
        runner = self._runners[batch.id] = Runner(self._kit, batch)
        task = asyncio.create_task(self._see_through(batch.id, runner))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, batch_id: str, runner: Runner) -> None:
        try:
            await runner.run()
        except StoreUnavailable as error:
            self._not_before_s[batch_id] = self._kit.clock() + _AGAIN_S
            log.warning("%s waits: %s", batch_id, error)
        except Exception:
            # A defect that one batch brings out must not keep the others. This one is tried again,
            # ever less often, for an upgrade may mend it; `Runner` ends it when its time is over.
            pause_s = min(_MOST_AGAIN_S, _AGAIN_S * 2.0 ** self._defects[batch_id])
            self._defects[batch_id] = min(self._defects[batch_id] + 1, 10)
            self._not_before_s[batch_id] = self._kit.clock() + pause_s
            log.exception("%s cannot be run now", batch_id)
        else:
            self._not_before_s.pop(batch_id, None)
            self._defects.pop(batch_id, None)
        finally:
            del self._runners[batch_id]
            self._news.set()

    async def _sweep(self) -> None:
        sweeper = self._sweeper
        while True:
            await self._try("files cannot be kept", self._open)
            if not self.trouble:
                await self._try("old files cannot be forgotten", sweeper.forget_stale)
                await self._try("parts of batches cannot be forgotten", sweeper.forget_parts)
                await self._try("the folder cannot be tidied", sweeper.tidy)
            await asyncio.sleep(_SWEEP_EVERY_S if not self.trouble else _AGAIN_S)

    def families(self) -> Iterator[Family]:
        """Return how many batches and lines there are, for Prometheus."""
        for metric, value in (
            (metrics.BATCHES_RUNNING, len(self._runners)),
            (metrics.BATCH_LINES_RUNNING, self._kit.idle.running),
            (metrics.BATCH_LINES_WAITING, self._kit.idle.waiting),
        ):
            family = gauge(metric)
            family.add_metric([], value)
            yield family
        lines = counter(metrics.BATCH_LINES)
        for row, count in self._kit.ended.items():
            lines.add_metric(list(row), count)
        yield lines


def _has_room(running: int, of_tenant: int) -> bool:
    """Whether a tenant that runs some of all may run one more."""
    if not of_tenant:
        return running < _MOST_TENANTS
    return running < _MOST and of_tenant < _MOST_OF_ONE
