"""One keep-alive connection to an engine: writes a request, reads its response into a sink."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from penstock.engines.conduit.framing import ChunkReader
from penstock.engines.conduit.sink import Head, Sink
from penstock.ground.errors import EngineDied, EngineError

_MAX_HEAD = 65_536


class Connection(asyncio.Protocol):
    """Carries one exchange at a time; the pool decides when it is free again."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._head = _HeadReader()
        self._chunks: ChunkReader | None = None
        self._framed_runs = False
        self._left: int | None = None  # body bytes to come; none: until the engine closes
        self._in_body = False
        self._surplus = False  # the engine has sent more than its answer
        self.was_idle = False
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self.alive = True

    def send(self, request: bytes, exchange: "Exchange") -> None:
        """Write `request` (head and body) and let `exchange` receive the response."""
        assert self._transport is not None  # noqa: S101 - the pool hands out connected ones
        self._exchange = exchange
        self._framed_runs = exchange.sink.takes_framed
        self._in_body = False
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes from the engine."""
        exchange = self._exchange
        if exchange is None:  # an engine that speaks unasked is not to be trusted with more
            self.abort()
            return
        try:
            if self._in_body:
                self._on_body(data, exchange)
            else:
                self._on_head(data, exchange)
        except EngineError as error:
            self._finish(exchange, error)

    def _on_head(self, data: bytes, exchange: "Exchange") -> None:
        rest = self._head.feed(data)
        if rest is None:
            return
        head = self._head
        self._in_body = True
        self._left = None if head.chunked else head.length
        self._chunks = ChunkReader(framed_runs=self._framed_runs) if head.chunked else None
        exchange.answered = True
        exchange.sink.on_head(Head(head.status, head.content_type))
        if exchange is not self._exchange:  # the sink has cancelled
            return
        if self._left == 0:
            self._surplus = bool(rest)
            self._finish(exchange, None)
        elif rest:
            self._on_body(rest, exchange)

    def _on_body(self, data: bytes, exchange: "Exchange") -> None:
        chunks = self._chunks
        if chunks is not None:
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
            return
        exchange.sink.on_bytes(data if self._left is None else data[: self._left])
        if self._left is not None and exchange is self._exchange:
            self._left -= len(data)
            if self._left <= 0:
                self._surplus = self._left < 0
                self._finish(exchange, None)

    def _finish(self, exchange: "Exchange", error: EngineError | None) -> None:
        if exchange is not self._exchange:
            return
        self._exchange = None
        reusable = error is None and self._head.keep_alive and not self._surplus
        if not reusable:
            self.abort()
        elif self._transport is not None:
            self._transport.resume_reading()
        exchange.on_finished(exchange, self if reusable else None, error)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is gone."""
        self.alive = False
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
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._transport is not None and self.alive:
            self._transport.resume_reading()


class Exchange:
    """One request on its way; the pool's handle for cancel and back-pressure."""

    __slots__ = ("answered", "connection", "finished", "on_finished", "request", "sink")

    def __init__(self, request: bytes, sink: Sink) -> None:
        self.request, self.sink = request, sink
        self.connection: Connection | None = None
        self.answered = False
        self.finished = False
        self.on_finished: OnFinished = _nobody_waits

    def release(self) -> Sink:
        """Mark it as finished and let go of everything; returns the sink, to be told.

        Sink and exchange hold each other: without this, every request would be garbage that only
        the cycle collector finds.
        """
        sink, self.sink = self.sink, _NOBODY
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


class _Nobody:
    """The sink of an exchange that has ended: nothing more is told."""

    takes_framed = False

    def on_head(self, head: Head) -> None:
        pass

    def on_events(self, framed: bytes) -> None:
        pass

    def on_bytes(self, payload: bytes) -> None:
        pass

    def on_end(self) -> None:
        pass

    def on_lost(self, error: EngineError) -> None:
        pass


_NOBODY = _Nobody()


class _HeadReader:
    """Reads one response head with llhttp and keeps what matters."""

    __slots__ = ("_buffer", "chunked", "content_type", "keep_alive", "length", "status")

    def __init__(self) -> None:
        self._buffer = b""
        self.status = 0
        self.content_type = b""
        self.length: int | None = None
        self.chunked = False
        self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header."""
        name = name.lower()
        if name == b"content-type":
            self.content_type = value
        elif name == b"content-length":
            self.length = int(value)
        elif name == b"transfer-encoding":
            self.chunked = value.lower().rstrip().endswith(b"chunked")
        elif name == b"connection":
            self.keep_alive = b"close" not in value.lower()

    def feed(self, data: bytes) -> bytes | None:
        """Return the body bytes behind the head, or none while it is not complete.

        Raises:
            EngineDied: it is not an HTTP response.
        """
        data = self._buffer + data if self._buffer else data
        while True:
            end = data.find(b"\r\n\r\n", 0, _MAX_HEAD)
            if end < 0:
                if len(data) >= _MAX_HEAD:
                    raise EngineDied("the engine's answer has no end of head in 64 KiB")
                self._buffer = data
                return None
            self._read(data[: end + 4])
            data = data[end + 4 :]
            if self.status >= 200:
                self._buffer = b""
                return data
            # An interim answer: the real one follows.

    def _read(self, head: bytes) -> None:
        self.content_type, self.length, self.chunked = b"", None, False
        self.keep_alive = True
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, ValueError) as error:
            raise EngineDied("the engine's answer is not HTTP", why=str(error)) from None
        self.status = parser.get_status_code()
        if self.status in (204, 304):
            self.length, self.chunked = 0, False
        framed = self.chunked or self.length is not None
        # llhttp's own verdict is lost once the message is complete, as it is without a body.
        self.keep_alive &= framed and parser.get_http_version() == "1.1"
