"""A replica's business with the server that counts for all: reports, requests, and its absence."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import Protocol

from penstock.ground.clock import Clock
from penstock.ground.errors import StoreUnavailable
from penstock.registry.counters.slices import Answer, Report, Slice

LEASE_S = 3.0
"""What a replica holds is free again when it has not been heard of for so long."""
_BEAT_S = 0.1
_BEAT_ALONE_S = 0.5
_BATCH = 200

log = logging.getLogger("penstock.registry")


class Server(Protocol):
    """The server that counts; `valkey.ValkeyServer` is one."""

    async def exchange(
        self, replica: str, lease_s: float, number: int, reports: Sequence[Report]
    ) -> Answer:
        """Tell what `replica` reports and return the answer.

        Raises:
            StoreUnavailable: the server cannot be reached, or has failed.
        """

    async def close(self) -> None:
        """Close the connection."""


class Counters:
    """All slices of one replica. Satisfies `slices.Company` and `server.Background`."""

    def __init__(
        self,
        server: Server,
        replica: str,
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        lease_s: float = LEASE_S,
    ) -> None:
        self._server, self._replica, self._lease_s = server, replica, lease_s
        self.clock, self.wall = clock, wall
        self.online, self.replicas = True, 1
        self._active: dict[Slice, None] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._number = 0
        self._beat_s = 0.0

    def touch(self, piece: Slice) -> None:
        """Report `piece` from now on, until it is at rest."""
        piece.touched = True
        self._active[piece] = None

    async def ask(self, piece: Slice, amount: int) -> None:
        """Wait until the server was asked for `amount` more, or is known to be away."""
        if not self.online:
            return
        piece.need += amount
        self.touch(piece)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._wake.set()
        await waiting

    async def start(self) -> None:
        """Say that this replica is there; without the server it goes on alone."""
        await self.step()

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Return what runs until it is cancelled."""
        return (self._work(),)

    async def stop(self) -> None:
        """Give everything back."""
        for piece in self._active:
            piece.end()
        await self.step()
        if self.online and self._active:
            # What an earlier report gave back, in vain, had to be told first.
            await self.step()
        await self._server.close()

    async def _work(self) -> None:
        task = asyncio.current_task()
        told = ""  # a defect; once, not twice a second
        # The driver may swallow a cancellation that comes with an answer: so it is asked for too.
        while task is not None and not task.cancelling():
            pause_s = (_BEAT_S if self.online else _BEAT_ALONE_S) - (self.clock() - self._beat_s)
            if pause_s > 0:
                try:
                    async with asyncio.timeout(pause_s):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            try:
                if self.clock() - self._beat_s >= (_BEAT_S if self.online else _BEAT_ALONE_S):
                    await self.step()
                else:
                    await self.serve()
            except Exception as error:
                # A defect must not end the only task that speaks with the server; those who
                # wait for it look for themselves again.
                if told != repr(error):
                    log.exception("the counters failed")
                told = repr(error)
                self._release()
                await asyncio.sleep(_BEAT_ALONE_S)
            else:
                if told:
                    log.warning("the counters work again")
                told = ""

    async def serve(self) -> None:
        """Ask for what somebody waits for."""
        await self._tell([piece for piece in self._active if piece.need], beat=False)

    async def step(self) -> None:
        """Make the regular report of everything that is in use."""
        self._beat_s = self.clock()
        await self._tell(list(self._active), beat=True)
        for piece in [piece for piece in self._active if piece.is_at_rest]:
            del self._active[piece]
            piece.touched = False

    async def _tell(self, pieces: Sequence[Slice], *, beat: bool) -> None:
        self._wake.clear()
        waiting, self._waiting = self._waiting, []
        try:
            for start in range(0, max(1, len(pieces)), _BATCH):
                await self._exchange(pieces[start : start + _BATCH], beat=beat)
        except StoreUnavailable as error:
            if self.online:
                log.warning(
                    "limits are kept by each gateway for itself, a part in %d: %s",
                    self.replicas, error,
                )  # fmt: skip
            self.online = False
        finally:
            self._waiting += waiting
            self._release()

    async def _exchange(self, pieces: Sequence[Slice], *, beat: bool) -> None:
        self._number += 1
        reports = [piece.report(self._number, beat=beat) for piece in pieces]
        try:
            answer = await self._server.exchange(
                self._replica, self._lease_s, self._number, reports
            )
        except BaseException:
            for piece, report in zip(pieces, reports, strict=True):
                piece.unheard(report)
            raise
        self.replicas = answer.replicas
        told: Iterable[tuple[Slice, Report]] = zip(pieces, reports, strict=True)
        for (piece, report), grant in zip(told, answer.grants, strict=True):
            piece.heard(report, self._number, answer.day, grant)
        if not self.online:
            log.warning("limits are counted for all gateways together again")
        self.online = True

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)
