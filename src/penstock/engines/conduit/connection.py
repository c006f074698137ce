"""One keep-alive connection to an engine: writes a request, reads its response into a sink."""

import asyncio
from collections.abc import Callable
from typing import cast

from penstock.engines.conduit.framing import ChunkReader
from penstock.engines.conduit.head import HeadReader
from penstock.engines.conduit.sink import NOBODY, Sink
from penstock.ground.errors import EngineDied, EngineError


class Connection(asyncio.Protocol):
    """Carries one exchange at a time; the pool decides when it is free again."""

    def __init__(self, engine: str, open_ones: "set[Connection]") -> None:
        """It is among `open_ones` from its first moment to its last."""
        self._engine, self._open_ones = engine, open_ones
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._head = HeadReader()
        self._chunks: ChunkReader | None = None
        self._left: int | None = None  # body bytes to come; none: until the engine closes
        self._in_body = False
        self._surplus = False  # the engine has sent more than its answer
        self._paused = False
        self.was_idle = False
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self.alive = True
        self._open_ones.add(self)

    def send(self, request: bytes, exchange: "Exchange") -> None:
        """Write `request` (head and body) and let `exchange` receive the response."""
        assert self._transport is not None  # noqa: S101 - the pool hands out connected ones
        self._exchange, self._chunks, self._in_body = exchange, None, False
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes from the engine."""
        exchange, chunks = self._exchange, self._chunks
        if exchange is None:  # an engine that speaks unasked is not to be trusted with more
            self.abort()
            return
        try:
            if chunks is not None:
                if chunks.is_event(data):  # nearly all that ever comes
                    exchange.sink.on_events(data)
                else:
                    self._on_chunks(data, exchange, chunks)
            elif self._in_body:
                self._on_body(data, exchange)
            else:
                self._on_head(data, exchange)
        except EngineError as error:
            self._finish(exchange, error)

    def _on_head(self, data: bytes, exchange: "Exchange") -> None:
        head = self._head
        rest = head.feed(data)
        if rest is None:
            return
        self._in_body, self._left = True, head.length
        chunks = None
        if head.chunked:
            chunks = self._chunks = ChunkReader(framed_runs=exchange.sink.takes_framed)
        exchange.answered = True
        exchange.sink.on_head(head.head)
        if exchange is not self._exchange:  # the sink has cancelled
            return
        if chunks is not None:
            if rest:
                self._on_chunks(rest, exchange, chunks)
        elif rest or self._left == 0:
            self._on_body(rest, exchange)

    def _on_chunks(self, data: bytes, exchange: "Exchange", chunks: ChunkReader) -> None:
        sink = exchange.sink
        for framed, piece in chunks.feed(data):
            if framed:
                sink.on_events(piece)
            else:
                sink.on_bytes(piece)
            if exchange is not self._exchange:
                return
        if chunks.done:
            self._surplus = chunks.surplus
            self._finish(exchange, None)

    def _on_body(self, data: bytes, exchange: "Exchange") -> None:
        left = self._left
        if left is None:
            exchange.sink.on_bytes(data)
            return
        if left:
            exchange.sink.on_bytes(data[:left])
            if exchange is not self._exchange:
                return
        self._left = left = left - len(data)
        if left <= 0:
            self._surplus = left < 0
            self._finish(exchange, None)

    def _finish(self, exchange: "Exchange", error: EngineError | None) -> None:
        if exchange is not self._exchange:
            return
        self._exchange = None
        reusable = error is None and self._head.keep_alive and not self._surplus
        if not reusable:
            self.abort()
        elif self._paused:
            self.resume_reading()
        exchange.on_finished(exchange, self if reusable else None, error)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is gone."""
        self.alive = False
        self._open_ones.discard(self)
        exchange = self._exchange
        if exchange is None:
            return
        if self._in_body and self._chunks is None and self._left is None and exc is None:
            self._finish(exchange, None)  # a body without a length ends with the connection
            return
        why = str(exc) if exc else "it closed the connection"
        self._finish(exchange, EngineDied(f"the engine {self._engine} went away", why=why))

    def abort(self) -> None:
        """Close at once; the engine sees a client that has left."""
        self.alive = False
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Stop taking bytes from the engine until `resume_reading`."""
        if self._transport is not None and self.alive:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._transport is not None and self.alive:
            self._paused = False
            self._transport.resume_reading()


class Exchange:
    """One request on its way; the pool's handle for cancel and back-pressure.

    `weight` is what it adds to the engine's work while it is out.
    """

    __slots__ = ("answered", "connection", "finished", "on_finished", "request", "sink", "weight")

    def __init__(self, request: bytes, sink: Sink, weight: int) -> None:
        self.request, self.sink, self.weight = request, sink, weight
        self.connection: Connection | None = None
        self.answered = False
        self.finished = False
        self.on_finished: OnFinished = _nobody_waits

    def release(self) -> Sink:
        """Mark it as finished and let go of everything; returns the sink, to be told.

        Sink and exchange hold each other: without this, every request would be garbage that only
        the cycle collector finds.
        """
        sink, self.sink = self.sink, NOBODY
        self.connection, self.request = None, b""
        self.finished = True
        return sink

    def pause(self) -> None:
        """The client reads slowly: stop reading from the engine."""
        if self.connection is not None and not self.finished:
            self.connection.pause_reading()

    def resume(self) -> None:
        """The client has caught up."""
        if self.connection is not None and not self.finished:
            self.connection.resume_reading()


OnFinished = Callable[[Exchange, Connection | None, EngineError | None], None]


def _nobody_waits(
    exchange: Exchange, connection: Connection | None, error: EngineError | None
) -> None:
    raise RuntimeError("an exchange ended before its pool listened")
