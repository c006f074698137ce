"""One engine in a race for a request: held back until it answers, then let through.

Nothing reaches the client before an engine has sent the first bytes of a stream, or the whole of a
plain answer: until then another one can take its place.
"""

import logging
from typing import Protocol

from penstock.engines.conduit.connection import Exchange
from penstock.engines.conduit.framing import unframe
from penstock.engines.conduit.sink import NOBODY, Head, Sink
from penstock.engines.sagemaker.answers import Verdict
from penstock.gateway.fleet import BUSY, Engine
from penstock.ground.errors import EngineDied, EngineError

_MAX_PLAIN = 64 * 1024 * 1024
_JSON_LINES = b"application/jsonlines"
"""How LMI's containers stream: an object a line, and no mark of the end."""
_OF_MODEL = frozenset((400, 404, 413, 422))

log = logging.getLogger("penstock.gateway")


class Race(Protocol):
    """Who decides; `trip.Trip` is it."""

    def lane_won(self, lane: "Lane") -> None:
        """This one answers: what follows goes to the sink."""

    def lane_failed(self, lane: "Lane", error: EngineError | None) -> None:
        """This one does not answer; without an `error` it is full, and has said so."""

    def lane_asleep(self, lane: "Lane") -> None:
        """No copy of this one runs."""

    def lane_ended(self) -> None:
        """The one that won has handed on the end of its answer."""


class _NoRace:
    """The race of a lane that has ended."""

    def lane_won(self, lane: "Lane") -> None:
        pass

    def lane_failed(self, lane: "Lane", error: EngineError | None) -> None:
        pass

    def lane_asleep(self, lane: "Lane") -> None:
        pass

    def lane_ended(self) -> None:
        pass


_NO_RACE = _NoRace()


class Lane:
    """The sink of one engine's response."""

    __slots__ = (
        "_lines",
        "_parts",
        "_race",
        "_sink",
        "_size",
        "engine",
        "exchange",
        "head",
        "risings",
        "takes_framed",
        "won",
    )
    exchange: Exchange

    def __init__(self, engine: Engine, race: Race, sink: Sink) -> None:
        self.engine = engine
        self.risings = engine.sleep.risings if engine.sleep is not None else 0
        """How often it had woken when it was asked."""
        self._race: Race = race
        self._sink: Sink = sink
        self.takes_framed = sink.takes_framed
        self.head: Head | None = None
        self.won = False
        self._lines: bytes | None = None  # the beginning of a line, where the stream is of lines
        self._parts: list[bytes] = []
        self._size = 0

    def on_head(self, head: Head) -> None:
        """Sink: the status is known, and waits for the first bytes."""
        self.head = head
        if self.engine.reads is not None and head.content_type.startswith(_JSON_LINES):
            self.head = Head(head.status, b"text/event-stream")
            self._lines = b""

    def on_events(self, framed: bytes) -> None:
        """Sink: whole events."""
        if not self._is_stream() or self._lines is not None:
            self.on_bytes(unframe(framed))
            return
        if not self.won:
            self._win()
        self._sink.on_events(framed)

    def on_bytes(self, payload: bytes) -> None:
        """Sink: body bytes."""
        if self._is_stream():
            if self._lines is not None:
                payload = self._as_events(payload)
            if not self.won:
                self._win()
            self._sink.on_bytes(payload)
            return
        self._size += len(payload)
        if self._size > _MAX_PLAIN:
            raise EngineDied("the engine's answer is larger than 64 MiB")
        self._parts.append(payload)

    def on_end(self) -> None:
        """Sink: the response is complete."""
        if self.won:
            if self._lines is not None:
                self._sink.on_bytes(self._as_events(b"\n") + b"data: [DONE]\n\n")
            self._sink.on_end()
            self._let_go()
        elif self._is_stream():
            self.on_lost(EngineDied("the engine ended its stream before it began"))
        elif self.head is not None and self.head.status != 200 and self.engine.reads is not None:
            self._read(self.engine.reads(self.head.status, b"".join(self._parts)))
        else:
            self._settle()

    def _as_events(self, payload: bytes) -> bytes:
        """Return the whole lines that there are now, as server-sent events."""
        *lines, self._lines = ((self._lines or b"") + payload).split(b"\n")
        return b"".join(b"data: %b\n\n" % line for line in lines if line.strip())

    def _settle(self) -> None:
        """Hand the whole answer on, or say that the engine is full."""
        if self.head is not None and self.head.status in BUSY:
            self.engine.answered(self.head.status)
            self._race.lane_failed(self, None)
        else:
            self.deliver()

    def _read(self, verdict: Verdict) -> None:
        """The front door may have answered in place of the model."""
        if verdict.asleep:
            self._race.lane_asleep(self)
            return
        if verdict.told:
            log.warning("engine %s: %s", self.engine.name, verdict.told)
        if verdict.status in (401, 403):
            self.engine.on_denied()
        if verdict.error is not None:  # not the engine's fault: its breaker is not told
            self._race.lane_failed(self, verdict.error)
        else:
            self.head = Head(verdict.status, b"application/json")
            self._parts = [verdict.body] if verdict.body else []
            self._settle()

    def on_lost(self, error: EngineError) -> None:
        """Sink: the response will not be completed."""
        if self.won:
            self._sink.on_lost(error)  # who reads it tells the engine
            self._let_go()
        else:
            self.engine.lost(error)
            self._race.lane_failed(self, error)

    def deliver(self) -> None:
        """Hand on a whole answer."""
        self._win()
        if self._parts:
            self._sink.on_bytes(b"".join(self._parts))
        self._sink.on_end()
        self._let_go()

    @property
    def is_of_model(self) -> bool:
        """Whether the model itself has answered, and not who stands before it."""
        status = self.head.status if self.head is not None else 0
        return status == 200 or status in _OF_MODEL

    def stop(self) -> None:
        """Ask no longer."""
        self.engine.pool.cancel(self.exchange)
        self._race, self._sink = _NO_RACE, NOBODY

    def _let_go(self) -> None:
        """Leave no cycle behind, which only the garbage collector would find."""
        race, self._race, self._sink = self._race, _NO_RACE, NOBODY
        race.lane_ended()

    def _win(self) -> None:
        self.won = True
        self._race.lane_won(self)
        if self.head is not None:
            self._sink.on_head(self.head)

    def _is_stream(self) -> bool:
        head = self.head
        return head is not None and head.status == 200 and head.is_stream
