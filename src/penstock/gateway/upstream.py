"""An engine as the turn loop sees it: a stream of bytes, fetched through the conduit."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from penstock.chat.ports import ByteStream
from penstock.chat.streams import FINISH_S, Pieces
from penstock.engines.conduit.connection import Exchange
from penstock.engines.conduit.framing import unframe
from penstock.engines.conduit.sink import Head
from penstock.gateway.asking import Asking, Journey
from penstock.gateway.charges import Charge
from penstock.gateway.fleet import BUSY, RETRIES, Engine, least_busy
from penstock.gateway.line import Line
from penstock.gateway.queueing import place_for
from penstock.gateway.spans import Round
from penstock.ground.errors import EngineError, EngineRefused, EngineUnavailable

_HIGH_WATER = 1 << 18
_PATIENCE = 1 << 13
_MAX_ERROR_BODY = 1 << 20


class Upstream:
    """Satisfies `chat.ports.Engine`: asks the least busy engine, or another if it is gone."""

    def __init__(
        self, charge: Charge, path: bytes, request_id: bytes, *, patient: bool = False
    ) -> None:
        """A `patient` one gives some kilobytes at a time: nobody sees the answer as it comes.

        `unread` counts events that came and were not given, because the round was broken off.
        """
        self._charge, self._route = charge, charge.route
        self._patience = _PATIENCE if patient and charge.span is None else 0
        self.unread = 0
        self._loop = asyncio.get_running_loop()
        self._path, self._request_id = path, request_id
        self._rounds = 0
        self._trace = b""
        self.beat: Callable[[], None] | None = None
        """Shows the client that its request is held, where it can be shown."""

    def stream(self, body: bytes) -> ByteStream:
        """Return the raw body of the engine's streamed answer, cut anywhere.

        Raises:
            EngineUnavailable: no engine took the request.
            EngineRefused: the engine answered with an error.
            EngineDied: the engine went away.
            LimitExceeded: the budget does not reach for a further round, or too many wait.
            Overloaded: the engines are full.
        """
        self._rounds += 1
        charge, further = self._charge, self._rounds > 1
        if self._route.line is None and charge.span is None and not (further and charge.purses):
            return self._ask(body)
        return Pieces(self._accounted(body, further=further))

    async def _accounted(self, body: bytes, *, further: bool) -> AsyncGenerator[bytes, None]:
        if further:
            await self._charge.next_round(body)
        line = self._route.line
        pieces = self._asked(body) if line is None else self._ask_in_turn(line, body)
        span = self._charge.span
        if span is not None:
            pieces = self._traced(span.round(), pieces)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def _traced(
        self, span: Round, pieces: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        self._trace, begun = span.header, False
        error: BaseException | None = None
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if not begun:
                        span.first_byte()
                        begun = True
                    yield piece
        except EngineError as failed:
            error = failed
            raise
        finally:
            span.ended(error)

    async def _ask_in_turn(self, line: Line, body: bytes) -> AsyncGenerator[bytes, None]:
        """Ask when there is a place; what the round used is told by its events."""
        place = await place_for(line, self._charge, body)
        events = 0
        try:
            async with aclosing(self._asked(body)) as pieces:
                async for piece in pieces:
                    events += piece.count(b"\n\n")
                    yield piece
        finally:
            place.leave(self._charge.prompt, events)

    async def _asked(self, body: bytes) -> AsyncGenerator[bytes, None]:
        stream = self._ask(body)
        try:
            while (piece := await stream.next()) is not None:
                yield piece
        finally:
            await stream.aclose()

    def _ask(self, body: bytes) -> ByteStream:
        trip = self._charge.trip
        return _FromEngine(self, body) if trip is None else Pieces(self._ask_on(trip, body))

    async def _ask_on(self, trip: Journey, body: bytes) -> AsyncGenerator[bytes, None]:
        inbox = _Inbox(self._loop, patience=0)
        inbox.exchange = trip
        trip.ask(Asking(self._path, body, inbox, self._request_id, self.beat))
        try:
            while (piece := await inbox.next()) is not None:
                yield piece
            if trip.troubled:
                trip.answered(200)
        except EngineRefused as error:
            trip.answered(error.status)
            raise
        except EngineError as error:
            trip.lost(error)
            raise
        finally:
            self.unread += inbox.unread()
            trip.stop()

    def post(self, body: bytes, tried: tuple[Engine, ...] = ()) -> tuple[Engine, "_Inbox"]:
        """Ask the least busy engine that was not tried; returns it, and where it answers.

        Raises:
            EngineUnavailable: there is none.
        """
        engine = least_busy(self._route.engines, tried)
        inbox = _Inbox(self._loop, self._patience)
        self._charge.asked(engine.number)
        inbox.exchange = inbox.posted = engine.pool.post(
            self._path, body, inbox, self._request_id, self._trace
        )
        return engine, inbox


class _FromEngine:
    """The answer of one engine, or of another if that is gone. Satisfies `ports.ByteStream`."""

    __slots__ = ("_begun", "_body", "_engine", "_inbox", "_tried", "_upstream")

    def __init__(self, upstream: Upstream, body: bytes) -> None:
        self._upstream, self._body = upstream, body
        self._tried: tuple[Engine, ...] = ()
        self._begun = False
        self._engine, self._inbox = upstream.post(body)

    async def next(self) -> bytes | None:
        """Return what came next; none at the end."""
        while True:
            try:
                piece = await self._inbox.next()
            except EngineError as error:
                _tell(self._engine, error)
                self._ask_another(error)
                continue
            if piece is not None:
                self._begun = True
            elif self._engine.troubled:
                self._engine.answered(200)
            return piece

    def _ask_another(self, error: EngineError) -> None:
        """Ask an engine that was not asked; raises `error` if it is not worth it."""
        self._tried = (*self._tried, self._engine)
        if self._begun or not _is_worth_it(error) or len(self._tried) > RETRIES:
            raise error
        try:
            other = self._upstream.post(self._body, self._tried)
        except EngineUnavailable:
            raise error from None
        self._let_go()
        self._engine, self._inbox = other

    async def finish(self) -> None:
        """Read to the end, which most often has come."""
        with suppress(TimeoutError, EngineError):
            if self._inbox.ended:
                await self._read_on()
            else:
                async with asyncio.timeout(FINISH_S):
                    await self._read_on()

    async def _read_on(self) -> None:
        while await self.next() is not None:
            pass

    async def aclose(self) -> None:
        """Cancel what is not complete."""
        self._let_go()

    def _let_go(self) -> None:
        self._upstream.unread += self._inbox.unread()
        if self._inbox.posted is not None:
            self._engine.pool.cancel(self._inbox.posted)
            self._inbox.posted = None


def _tell(engine: Engine, error: EngineError) -> None:
    if isinstance(error, EngineRefused):
        engine.answered(error.status)
    else:
        engine.lost(error)


def _is_worth_it(error: EngineError) -> bool:
    """Whether another engine may answer what this one did not."""
    return not isinstance(error, EngineRefused) or error.status in BUSY


class _Inbox:
    """Sink that keeps what came until it is taken, and slows the engine down when it is much."""

    takes_framed = False

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: int) -> None:
        """Until the end, pieces wait to be taken until there are more than `patience` bytes."""
        self._loop, self._patience = loop, patience
        self.exchange: Exchange | Journey | None = None
        self.posted: Exchange | None = None
        self.ended = False
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._status = 0
        self._error: EngineError | None = None
        self._wake: asyncio.Future[None] | None = None

    async def next(self) -> bytes | None:
        """Return the next piece, or none at the end."""
        while not self._ready():
            self._wake = self._loop.create_future()
            await self._wake
        if self._pieces and self._status == 200:
            return self._take()
        if self._error is not None:
            raise self._error
        if self._status != 200:
            body = b"".join(self._pieces)
            raise EngineRefused(
                f"the engine answered {self._status}", status=self._status, body=body
            )
        return None

    def _ready(self) -> bool:
        return self.ended or (self._size > self._patience and self._status == 200)

    def unread(self) -> int:
        """Return how many events came and were not taken."""
        return sum(piece.count(b"\n\n") for piece in self._pieces) if self._status == 200 else 0

    def _take(self) -> bytes:
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._size > _HIGH_WATER and self.exchange is not None:
            self.exchange.resume()
        self._size = 0
        return piece

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def on_head(self, head: Head) -> None:
        """Sink: the status is known."""
        self._status = head.status

    def on_events(self, framed: bytes) -> None:
        """Sink: not asked for, but never lost."""
        self.on_bytes(unframe(framed))

    def on_bytes(self, payload: bytes) -> None:
        """Sink: body bytes."""
        if self._status != 200 and self._size > _MAX_ERROR_BODY:
            return  # an error text that long is not read to its end
        self._pieces.append(payload)
        self._size += len(payload)
        if self._size > _HIGH_WATER and self._status == 200 and self.exchange is not None:
            self.exchange.pause()
        if self._size > self._patience:
            self._notify()

    def on_end(self) -> None:
        """Sink: complete."""
        self.ended = True
        self._notify()

    def on_lost(self, error: EngineError) -> None:
        """Sink: it will not be completed."""
        self._error, self.ended = error, True
        self._notify()
