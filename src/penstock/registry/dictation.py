"""A scribe in a process of its own, so that the gateway's event loop has its core for itself.

What the scribe does (reading slots, entries, hashes, the database's driver) would take from the
loop a third of what a request costs, most of it by taking turns with the interpreter's lock. The
gateway sends numbers of slots over a socket, and the scribe, which has the same file in its
memory, answers when they are written. It holds the file's lock too, so that nobody takes the slots
of a dead gateway for left while its scribe is still at them. It ends when the gateway has gone.

A scribe that dies is started again with the next portion; what it may have written is asked for
`again`, and the audit's chain goes on where it ended.
"""

import asyncio
import logging
import socket
import subprocess
from array import array
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from penstock.ground.errors import PenstockError, StoreUnavailable
from penstock.registry.scribe import Portion, Scribe
from penstock.registry.stores.ports import LeaseId

_SIZE = 4
_PATIENCE_S = 120.0
_TEND_EVERY_S = 0.5
_LAST_S = 5.0

log = logging.getLogger("penstock.registry")


class Order(msgspec.Struct, array_like=True):
    """What the scribe is told: a portion to write, or with `ends` to end."""

    slots: bytes = b""
    spilled: str | None = None
    held: list[tuple[LeaseId, int]] = []
    again: bool = False
    ends: bool = False
    complete: bool = False


class Reply(msgspec.Struct, array_like=True):
    """What it answers: how many lines of the audit there are, or why it was in vain."""

    lines: int = 0
    what: str = ""
    why: str = ""


async def _send(writer: asyncio.StreamWriter, message: object) -> None:
    _put(writer, msgspec.msgpack.encode(message))
    await writer.drain()


def _put(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(len(data).to_bytes(_SIZE, "little") + data)


async def receive(reader: asyncio.StreamReader) -> bytes:
    """Return the next message; raises EOFError where there is none."""
    size = int.from_bytes(await reader.readexactly(_SIZE), "little")
    return await reader.readexactly(size)


class RemoteScribe:
    """The gateway's side. Satisfies `Scribe`."""

    apart = True

    def __init__(self, argv: Sequence[str], task: bytes, slots: int) -> None:
        """`argv` starts the process, which is given the descriptors of a socket and of the slot
        file `slots` as two further arguments, and then `task`."""
        self._argv, self._task, self._slots = list(argv), task, slots
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._before = self._lines = 0
        self._last: asyncio.Task[None] | None = None

    @property
    def lines(self) -> int:
        """Scribe: lines written."""
        return self._before + self._lines

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Scribe: start the process.

        Raises:
            StoreUnavailable: it does not get ready.
        """
        self._streams = await asyncio.open_connection(sock=self._spawn())
        _put(self._streams[1], self._task)
        await self._answered()

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            given = theirs.fileno(), self._slots
            self._process = subprocess.Popen(
                [*self._argv, *map(str, given)], pass_fds=given, stdin=subprocess.DEVNULL
            )
        return ours

    async def write(self, portion: Portion, held: Mapping[LeaseId, int], *, again: bool) -> None:
        """Scribe: write a portion."""
        slots = array("I", portion.slots).tobytes()
        spilled = str(portion.spilled) if portion.spilled else None
        await self._ask(Order(slots, spilled, list(held.items()), again))

    async def tend(self) -> None:
        """Scribe: it does so by itself."""

    async def close(self, *, complete: bool) -> None:
        """Scribe: let it end."""
        if self._streams is None:
            return
        try:
            await self._ask(Order(ends=True, complete=complete))
        finally:
            await self._let_go()

    async def _ask(self, order: Order) -> None:
        """Have an order answered; where who asks is cancelled, the next one waits for its end."""
        if self._last is not None and not self._last.done():
            await asyncio.wait((self._last,))
            if not self._last.cancelled() and (error := self._last.exception()):
                log.warning("what the scribe did last was in vain: %s", error)
        self._last = asyncio.create_task(self._exchange(order))
        await asyncio.shield(self._last)

    async def _exchange(self, order: Order) -> None:
        if self._streams is None:
            await self.start()
        if self._streams is None:
            raise AssertionError("it has started")
        try:
            await _send(self._streams[1], order)
        except OSError:
            await self._let_go()
            raise _gone() from None
        await self._answered()

    async def _answered(self) -> None:
        if self._streams is None:
            raise AssertionError("start comes first")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reply = msgspec.msgpack.decode(await receive(self._streams[0]), type=Reply)
        except (OSError, EOFError, TimeoutError):
            await self._let_go()
            raise _gone() from None
        self._lines = reply.lines
        if reply.what:
            raise StoreUnavailable(reply.what, why=reply.why)

    async def _let_go(self) -> None:
        """Be done with the process, whatever it is at."""
        streams, self._streams = self._streams, None
        process, self._process = self._process, None
        self._before, self._lines = self.lines, 0
        if streams is not None:
            streams[1].close()
        if process is not None:
            await asyncio.to_thread(_see_end, process)


def _see_end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_LAST_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _gone() -> StoreUnavailable:
    return StoreUnavailable("usage cannot be recorded now", why="the scribe's process has ended")


class Desk:
    """The process's side: takes orders for a scribe until the gateway is gone."""

    def __init__(
        self, scribe: Scribe, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        self._scribe = scribe
        self._reader, self._writer = streams

    async def work(self) -> None:
        """Take orders until there are no more."""
        await self._answer(self._scribe.start())
        while (order := await self._next()) is not None:
            if order.ends:
                await self._answer(self._scribe.close(complete=order.complete))
                return
            numbers: array[int] = array("I")
            numbers.frombytes(order.slots)
            portion = Portion(numbers, Path(order.spilled) if order.spilled else None)
            held = dict(order.held)
            await self._answer(self._scribe.write(portion, held, again=order.again))

    async def _next(self) -> Order | None:
        """Return the next order, none where the gateway has gone; meanwhile do what is due."""
        coming = asyncio.create_task(receive(self._reader))
        while not (await asyncio.wait((coming,), timeout=_TEND_EVERY_S))[0]:
            try:
                await self._scribe.tend()
            except StoreUnavailable as error:
                log.warning("the scribe cannot do what is due: %s", error)
        try:
            return msgspec.msgpack.decode(coming.result(), type=Order)
        except (OSError, EOFError):
            return None

    async def _answer(self, step: Awaitable[None]) -> None:
        reply = Reply()
        try:
            await step
        except PenstockError as error:
            reply = Reply(what=error.what, why=error.why)
        except Exception as error:
            # A defect must not end the process: the gateway tells of it, and tries again.
            log.exception("the scribe failed")
            reply = Reply(what="the scribe failed", why=repr(error))
        reply.lines = self._scribe.lines
        with suppress(OSError):  # the gateway has gone: there is no next order either
            await _send(self._writer, reply)
