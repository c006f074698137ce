"""Idle time: what an engine's hours cost beyond what requests paid for them.

An engine costs money by the hour, whatever it does; requests pay by the token. What they leave
unpaid is charged as lines of its own, so that the ledger's sum is the bill of the hours run.

For every engine the database holds one open span: who leads (the one gateway that moves its end
on), from when to when, and what requests paid since it began. The leader moves the end on every
few seconds; another gateway takes over when it has not for `TAKEOVER_MS`. A span is closed at full
UTC hours, when the price changes, and when the leader ends; then the bill less what was paid is
the idle line. Requests that paid more than the bill leave a surplus, which is set against the
spans that follow: no line is below zero. A request counts in the span in which its line is
written, so none is missed, however late it ends.

An engine runs as long as it answers its health checks. A pause of up to `GAP_MS` is run through;
a longer one is not counted, nor time in which no gateway looked.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from penstock.ground.clock import Clock
from penstock.ground.errors import StoreUnavailable
from penstock.registry.entries import Entry
from penstock.registry.records import NANO

HOUR_MS = 3_600_000
TAKEOVER_MS = 30_000
GAP_MS = 120_000
_EVERY_S = 10.0
_SOON_S = 0.5

log = logging.getLogger("penstock.registry")


@dataclass(frozen=True, slots=True)
class HourPrice:
    """One engine, the model it serves, and what an hour of it costs, nano-dollars."""

    engine: str
    model: str
    nano_per_hour: int


@dataclass(frozen=True, slots=True)
class OpenSpan:
    """What the database holds of one engine; times are Unix times in ms, 0 if it does not run."""

    leader: str = ""
    from_ms: int = 0
    until_ms: int = 0
    nano_per_hour: int = 0
    paid: int = 0
    surplus: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A closed span: its bill, what of it requests paid and what is charged as idle."""

    from_ms: int
    until_ms: int
    bill: int
    paid: int
    idle: int


@dataclass(frozen=True, slots=True)
class Visit:
    """One look of a gateway at an engine: whether it runs, and whether the gateway ends."""

    replica: str
    now_ms: int
    nano_per_hour: int
    runs: bool = True
    ends: bool = False


def advance(held: OpenSpan, visit: Visit) -> tuple[OpenSpan, list[Span]]:
    """Return what is held after a visit, and the spans that it closed."""
    age_ms = visit.now_ms - held.until_ms
    if held.leader not in ("", visit.replica) and age_ms < TAKEOVER_MS:
        return held, []
    closed: list[Span] = []
    rate = visit.nano_per_hour
    if abs(age_ms) > GAP_MS:  # below 0 the clock was set back
        held = _closed(held, held.until_ms, closed)
        began_ms = visit.now_ms if visit.runs else 0
        held = replace(held, from_ms=began_ms, until_ms=began_ms, nano_per_hour=rate)
    if held.nano_per_hour != rate:
        held = replace(_closed(held, held.until_ms, closed), nano_per_hour=rate)
    if visit.runs:
        until_ms = max(visit.now_ms, held.until_ms)
        hour_ms = until_ms // HOUR_MS * HOUR_MS
        if held.from_ms < hour_ms:
            held = _closed(replace(held, until_ms=hour_ms), hour_ms, closed)
        held = replace(held, until_ms=until_ms, leader=visit.replica)
    if visit.ends:
        held = replace(_closed(held, held.until_ms, closed), leader="")
    return held, closed


def _closed(held: OpenSpan, until_ms: int, closed: list[Span]) -> OpenSpan:
    """Add the span up to `until_ms` to `closed`; return the one that begins there."""
    if until_ms == held.from_ms:
        return held
    rate = held.nano_per_hour
    bill = cost_until(until_ms, rate) - cost_until(held.from_ms, rate)
    rest = bill - held.paid - held.surplus
    closed.append(Span(held.from_ms, until_ms, bill, held.paid, max(0, rest)))
    return replace(held, from_ms=until_ms, paid=0, surplus=max(0, -rest))


def cost_until(at_ms: int, nano_per_hour: int) -> int:
    """Return nano-dollars from 1970 to `at_ms`: its differences add up without rounding away."""
    return at_ms * nano_per_hour // HOUR_MS


def line_of(span: Span, price: HourPrice, replica: str) -> Entry:
    """Return the ledger's line of a span; the same span has the same id everywhere."""
    times = "/".join(_shown(ms) for ms in (span.from_ms, span.until_ms))
    return Entry(
        request_id=f"idle/{price.engine}/{span.from_ms}",
        admitted_s=span.from_ms / 1000,
        tenant="",
        key_id="",
        model=price.model,
        adapter="",
        engine=price.engine,
        outcome="complete",
        prompt_tokens=0,
        cached_tokens=0,
        completion_tokens=0,
        estimated=False,
        cost_nano_usd=span.idle,
        ttft_ms=0.0,
        total_ms=float(span.until_ms - span.from_ms),
        replica=replica,
        kind="idle",
        note=f"{times} paid {span.paid / NANO:.6f} of {span.bill / NANO:.6f} USD",
    )


def _shown(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000))


class Spans(Protocol):
    """Keeps open spans; `stores.hours.HourStore` has them in a database."""

    async def visit(self, price: HourPrice, visit: Visit) -> None:
        """Move the engine's span on, and write the lines of those that are closed."""


class Hours:
    """Counts the hours of this gateway's engines, together with every other gateway's."""

    def __init__(
        self,
        spans: Spans,
        prices: Sequence[HourPrice],
        replica: str,
        *,
        running: Callable[[], Collection[str]],
        wall: Clock = time.time,
    ) -> None:
        """`running` returns the names of the engines that answer now."""
        self._spans, self._prices, self._replica = spans, prices, replica
        self._running, self._wall = running, wall

    async def keep(self) -> None:
        """Count for ever; run it as a task."""
        while True:
            ran = bool(self._running())
            try:
                await self.step()
            except StoreUnavailable as error:
                log.warning("the engines' hours are not counted now: %s", error)
            await asyncio.sleep(_EVERY_S if ran else _SOON_S)

    async def step(self, *, ends: bool = False) -> None:
        """Look at every engine once; `ends` closes the spans that this gateway leads.

        Raises:
            StoreUnavailable: it is made up for the next time.
        """
        running, now_ms = self._running(), int(self._wall() * 1000)
        for price in self._prices:
            runs = price.engine in running
            visit = Visit(self._replica, now_ms, price.nano_per_hour, runs, ends)
            await self._spans.visit(price, visit)

    async def close(self) -> None:
        """Close what this gateway leads; what fails is taken over by another one."""
        try:
            await self.step(ends=True)
        except StoreUnavailable as error:
            log.warning("the engines' hours are not closed: %s", error)
