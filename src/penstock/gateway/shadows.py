"""Copies of requests for another model or engine, to compare: nobody sees or pays them.

A copy is sent when the answer to the client has begun, is read to its end and thrown away; what
remains is its line in the ledger and a count. So many at once, and no more: when there is no room,
when requests of clients wait, or when the ledger is full, the copy is what is left out.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from penstock.engines.conduit.framing import unframe
from penstock.engines.conduit.sink import Head
from penstock.gateway.admission import Route
from penstock.gateway.asking import renamed
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charges
from penstock.gateway.fleet import Engine, least_busy
from penstock.gateway.passage import Passage, Usage, read_usage
from penstock.gateway.route_meters import RouteMeters
from penstock.ground.errors import EngineDied, EngineError, EngineUnavailable, StoreUnavailable

_MAX_KEPT = 4 << 20


class Target(NamedTuple):
    """Who gets copies of which share of a model's requests, and how many at once."""

    route: Route
    engines: tuple[Engine, ...]
    share: float
    at_once: int


class Shadows:
    """Sends copies, and keeps count."""

    def __init__(self, charges: Charges, meters: RouteMeters, timeout_s: float) -> None:
        self._charges, self._meters, self._timeout_s = charges, meters, timeout_s
        self._running: dict[str, int] = {}

    def copy(  # one parameter a part of the request
        self, target: Target, path: bytes, body: bytes, request_id: bytes, caller: Caller
    ) -> None:
        """Send a copy, or leave it out; `request_id` is the copy's own."""
        model, line = target.route.model, target.route.line
        if self._running.get(model, 0) >= target.at_once or (line is not None and line.waiting):
            self._meters.shadowed(model, "dropped")
            return
        try:
            engine = least_busy(target.engines)
        except EngineUnavailable:
            self._meters.shadowed(model, "dropped")
            return
        self._running[model] = self._running.get(model, 0) + 1
        copy = _Copy(engine, partial(self._ended, model, engine.name, request_id, caller))
        copy.begin(path, renamed(body, target.route.upstream), request_id, self._timeout_s)

    def _ended(
        self, model: str, engine: str, request_id: bytes, caller: Caller, end: "_End"
    ) -> None:
        self._running[model] -= 1
        self._meters.shadowed(model, "complete" if end.outcome == "complete" else "failed")
        try:
            self._charges.line(
                "shadow",
                caller,
                model,
                outcome=end.outcome,
                seconds=end.seconds,
                request_id=request_id,
                note=f"shadow at {engine}",
                usage=end.usage,
            )
        except StoreUnavailable:
            self._meters.shadowed(model, "dropped")


class _End(NamedTuple):
    outcome: str
    seconds: float
    usage: Usage | None


class _Copy:
    """The sink of a copy: reads everything, and keeps the usage."""

    takes_framed = False

    def __init__(self, engine: Engine, ended: Callable[[_End], None]) -> None:
        self._engine, self._ended = engine, ended
        self._passage = Passage(hide_usage=False)
        self._head: Head | None = None
        self._kept = b""
        self._since_s = time.perf_counter()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, path: bytes, body: bytes, request_id: bytes, timeout_s: float) -> None:
        """Ask the engine."""
        exchange = self._engine.pool.post(path, body, self, request_id)

        def expire() -> None:
            self._engine.pool.cancel(exchange)
            self._end("timeout")

        self._timer = asyncio.get_running_loop().call_later(timeout_s, expire)

    def on_head(self, head: Head) -> None:
        self._head = head

    def on_events(self, framed: bytes) -> None:
        self.on_bytes(unframe(framed))

    def on_bytes(self, payload: bytes) -> None:
        if self._head is not None and self._head.is_stream:
            self._passage.filter(payload)
            return
        if len(self._kept) + len(payload) > _MAX_KEPT:
            raise EngineDied("the answer to a copy is too large")
        self._kept += payload

    def on_end(self) -> None:
        status = self._head.status if self._head else 0
        if status != 200 or self._engine.troubled:
            self._engine.answered(status)
        self._end("complete" if status == 200 else "engine_refused")

    def on_lost(self, error: EngineError) -> None:
        self._engine.lost(error)
        self._end("engine_died")

    def _end(self, outcome: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ended(_End(outcome, time.perf_counter() - self._since_s, self._usage()))

    def _usage(self) -> Usage | None:
        if self._passage.usage is not None or not self._kept:
            return self._passage.usage
        try:
            return read_usage(self._kept).usage
        except msgspec.DecodeError:
            return None
