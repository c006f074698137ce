"""A request that goes straight through: one engine's answer becomes the client's.

The first bytes of the body are awaited before the status is sent, so an engine that fails until
then costs the client nothing: another engine is asked. Afterwards the stream says what happened.
"""

import time

import msgspec

from penstock.engines.conduit.connection import Exchange
from penstock.engines.conduit.framing import framed, unframe
from penstock.engines.conduit.sink import Head
from penstock.gateway.answer import EVENT_STREAM, JSON, LAST_CHUNK, Client
from penstock.gateway.asking import Asking, Journey
from penstock.gateway.faults import concerns_request, fault_of, is_openai_error, stream_event
from penstock.gateway.fleet import BUSY, RETRIES, Engine, least_busy
from penstock.gateway.order import Order
from penstock.gateway.passage import Passage, Usage, read_usage
from penstock.ground.errors import (
    EngineAsleep,
    EngineDied,
    EngineError,
    EngineRefused,
    EngineUnavailable,
)

_MAX_PLAIN = 64 * 1024 * 1024
WAKING = b": penstock.waking\n\n"
"""What a client is shown while its request is held."""
_NONE = Passage(hide_usage=False)
"""The passage of plain answers: nothing is ever fed to it."""


class Relay:
    """One request on its way; the sink of its engine's response."""

    __slots__ = (
        "_charge",
        "_client",
        "_counted",
        "_engine",
        "_exchange",
        "_greeted",
        "_head",
        "_open",
        "_order",
        "_parts",
        "_passage",
        "_since_s",
        "_size",
        "_started",
        "_tried",
        "takes_framed",
    )
    _engine: Engine | Journey
    _exchange: Exchange | Journey

    def __init__(self, client: Client, order: Order) -> None:
        """Ask the least busy engine.

        Raises:
            EngineUnavailable: no engine is up.
        """
        self._client, self._order, self._charge = client, order, order.charge
        self._since_s = time.perf_counter()
        self._passage = Passage(hide_usage=order.hide_usage) if order.streams else _NONE
        self.takes_framed = order.streams and client.takes_chunks
        self._started = self._greeted = False
        self._open = True
        self._counted = False
        self._head: Head | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._tried: tuple[Engine, ...] = ()
        trip = order.charge.trip
        if trip is None:
            self._begin()
        else:
            self._engine = self._exchange = trip
            trip.ask(self._asking())

    def _begin(self) -> None:
        try:
            engine = least_busy(self._order.route.engines)
        except EngineUnavailable:
            if not self._detour(()):
                raise
            return
        self._engine, self._exchange = engine, self._ask(engine)

    def _ask(self, engine: Engine) -> Exchange:
        order = self._order
        order.charge.asked(engine.number)
        span = order.charge.span
        trace = b"" if span is None else span.header
        return engine.pool.post(order.path, order.body, self, self._client.request_id, trace)

    def _asking(self) -> Asking:
        order = self._order
        beat = self._beat if order.streams else None
        return Asking(order.path, order.body, self, self._client.request_id, beat)

    # Sink: the engine's side

    def on_head(self, head: Head) -> None:
        """Sink: the engine has answered; its status waits for the first bytes."""
        self._head = head

    def on_events(self, framed_events: bytes) -> None:
        """Sink: whole events, usually passed on as they are."""
        if not self._started and not self._is_stream():
            self.on_bytes(unframe(framed_events))
        elif passed := self._passage.through(framed_events):
            self._write(passed)

    def on_bytes(self, payload: bytes) -> None:
        """Sink: body bytes without framing."""
        if self._is_stream():
            if whole := self._passage.filter(payload):
                self._write(framed(whole) if self._client.takes_chunks else whole)
            return
        self._size += len(payload)
        if self._size > _MAX_PLAIN:
            raise EngineDied("the engine's answer is larger than 64 MiB")
        self._parts.append(payload)

    def on_end(self) -> None:
        """Sink: the engine's response is complete."""
        if not self._open:
            return
        if not self._is_stream():
            self._answer_plain(b"".join(self._parts))
        elif self._passage.done:
            if self._engine.troubled:
                self._engine.answered(200)
            self._close_stream("complete")
        else:
            self.on_lost(EngineDied("the engine ended its stream early"))

    def on_lost(self, error: EngineError) -> None:
        """Sink: the engine is gone; ask another one while the client has seen nothing."""
        if not self._open:
            return
        self._engine.lost(error)
        if self._started or self._greeted:
            event = stream_event(error)
            self._write(framed(event) if self._client.takes_chunks else event)
            self._close_stream(outcome_of(error))
            return
        if not self._ask_another():
            self._settle(outcome_of(error))
            self._client.fail(fault_of(error))

    def _ask_another(self) -> bool:
        """Ask an engine that was not asked yet; false where there is none, or enough were."""
        engine = self._engine
        if not isinstance(engine, Engine):
            return False  # a trip has done so itself
        tried = (*self._tried, engine)
        if len(tried) > RETRIES:
            return self._detour(tried)
        try:
            engine = least_busy(self._order.route.engines, tried)
        except EngineUnavailable:
            return self._detour(tried)
        self._forget()
        self._engine, self._tried = engine, tried
        self._exchange = self._ask(engine)
        return True

    def _forget(self) -> None:
        self._parts, self._size, self._head = [], 0, None
        if self._order.streams:
            self._passage = Passage(hide_usage=self._order.hide_usage)

    def _detour(self, tried: tuple[Engine, ...]) -> bool:
        """Have another model stand in; false where none does."""
        charge = self._charge
        if charge.rescue is None:
            return False
        trip, charge.rescue = charge.rescue(), None
        self._forget()
        charge.trip = self._engine = self._exchange = trip
        return trip.take_over(self._asking(), tried)

    def _stop(self) -> None:
        exchange, engine = self._exchange, self._engine
        if isinstance(exchange, Exchange) and isinstance(engine, Engine):
            engine.pool.cancel(exchange)
        elif not isinstance(exchange, Exchange):
            exchange.stop()

    # Answer: the client's side

    def cancel(self) -> None:
        """Answer: the client has left; the engine is told by closing its connection."""
        if self._open:
            self._stop()
            self._settle("client_gone")

    def expire(self) -> None:
        """Answer: time is up."""
        if not self._open:
            return
        if self._head is None:
            self._engine.failed()
        self._stop()
        if self._started or self._greeted:
            event = b"data: " + fault_of(TimeoutError()).body + b"\n\n"
            self._write(framed(event) if self._client.takes_chunks else event)
            self._close_stream("timeout")
        else:
            self._settle("timeout")
            self._client.fail(fault_of(TimeoutError()))

    def pause(self) -> None:
        """Answer: stop reading from the engine."""
        self._exchange.pause()

    def resume(self) -> None:
        """Answer: read on."""
        self._exchange.resume()

    # Writing

    def _is_stream(self) -> bool:
        head = self._head
        return self._order.streams and head is not None and head.status == 200 and head.is_stream

    def _write(self, data: bytes) -> None:
        passage = self._passage
        if passage.usage is not None or passage.done:
            self._note_end()
        elif self._charge.slot:
            self._charge.passed(passage.events)
        if self._started:
            self._client.write(data)
            return
        self._started = True
        self._charge.first_byte(time.perf_counter() - self._since_s)
        head = b"" if self._greeted else self._client.head(200, EVENT_STREAM, None)
        self._client.write(head + data)

    def _beat(self) -> None:
        """Show the client that its request is held: a comment, which says nothing of the answer.

        The status is sent with the first one; what goes wrong later is told in the stream.
        """
        if self._open and not self._started:
            head = b"" if self._greeted else self._client.head(200, EVENT_STREAM, None)
            self._greeted = True
            self._client.write(head + (framed(WAKING) if self._client.takes_chunks else WAKING))

    def _note_end(self) -> None:
        """Note what the engine has counted, and that its stream is whole."""
        passage, charge = self._passage, self._charge
        seconds = time.perf_counter() - self._since_s
        if passage.usage is None:
            charge.passed(passage.events)
            if passage.done:
                charge.tell("complete", None, max(0, passage.events - 1), seconds)
        elif not self._counted:
            self._counted = passage.done
            charge.counted(passage.usage, done=passage.done, seconds=seconds)

    def _close_stream(self, outcome: str) -> None:
        self._settle(outcome)
        if self._client.takes_chunks:
            self._client.write(LAST_CHUNK)
        self._client.finish()

    def _answer_plain(self, body: bytes) -> None:
        status = self._head.status if self._head else 502
        if status != 200 or self._engine.troubled:
            self._engine.answered(status)
        if status in BUSY and self._ask_another():
            return
        if self._greeted and status != 200:
            why = f"the engine answered {status}"
            event = stream_event(EngineRefused(why, status=status, body=body))
            self._write(framed(event) if self._client.takes_chunks else event)
            self._close_stream("engine_refused")
            return
        if status != 200 and not (concerns_request(status) and is_openai_error(body)):
            self._settle("engine_refused")
            why = f"the engine answered {status}"
            self._client.fail(fault_of(EngineRefused(why, status=status, body=body)))
            return
        usage = _usage_of(body) if status == 200 else None
        self._settle("complete" if status == 200 else "engine_refused", usage)
        self._client.write(self._client.head(status, JSON, len(body)) + body)
        self._client.finish()

    def _settle(self, outcome: str, usage: Usage | None = None) -> None:
        self._open = False
        usage = usage or self._passage.usage
        # The first event of a stream carries the role, not a token.
        passed_on = 0 if usage is not None else max(0, self._passage.events - 1)
        seconds = time.perf_counter() - self._since_s
        self._charge.settle(outcome, usage, passed_on, seconds)


def outcome_of(error: EngineError) -> str:
    """Return how a request has ended that this error ended."""
    if isinstance(error, EngineAsleep):
        return "refused"
    return "engine_refused" if isinstance(error, EngineRefused) else "engine_died"


def _usage_of(body: bytes) -> Usage | None:
    try:
        return read_usage(body).usage
    except msgspec.DecodeError:
        return None
