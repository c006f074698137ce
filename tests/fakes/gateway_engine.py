"""An engine that plays bytes from a script: real sockets, an event loop in a thread of its own.

It is told beforehand what to answer, byte for byte, and counts what it is asked, what is being
answered and which clients left in the middle.
"""

import asyncio
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.fakes.connections import Connections
from tests.fakes.held_port import HeldPort


class Act(Enum):
    """What a script does besides sending bytes."""

    WAIT = "wait until the test calls `release`"
    DIE = "reset the connection"
    CLOSE = "close the connection"


Script = Sequence[bytes | Act]

HEALTHY: Script = (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",)
NO_GAUGES: Script = (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",)
SICK: Script = (b"HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n",)


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedEngine:
    """Plays `answers` in turn, then `default` for ever.

    `/health` and `/metrics` have answers of their own and are not counted.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._held = HeldPort()
        self.host, self.port = "127.0.0.1", self._held.number
        self.tls = tls
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._connections = Connections(self._serve)
        self.reset()

    def reset(self) -> None:
        """Forget everything that was told and counted."""
        self.asked: list[Asked] = []
        self.answers: deque[Script] = deque()
        self.default: Script = ()
        self.health: Script = HEALTHY
        self.gauges: Script = NO_GAUGES
        # New ones: what is still ending counts in the old ones.
        self._running: set[int] = set()
        self._waiting: set[int] = set()
        self.aborted = self.connections = self.sent_bytes = 0
        self.released = threading.Event()

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Answers that have come to `Act.WAIT`: what stands before it has been written."""
        return len(self._waiting)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def play(self, *scripts: Script) -> None:
        """Answer the next requests so; the last script also answers all that follow."""
        self.answers = deque(scripts[:-1])
        self.default = scripts[-1]

    def release(self) -> None:
        """Let every script that waits go on."""
        self.released.set()

    def stop(self) -> None:
        """Stop listening and reset all connections, as a killed engine does."""
        self._call(self._close())

    def start(self) -> None:
        """Listen, at the same port as before."""
        self._call(self._listen())

    def run(self) -> None:
        """Be the thread."""
        self._loop.run_forever()
        self._loop.close()

    def end(self) -> None:
        """End the thread."""
        self._call(self._close())
        self._held.close()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._connections.accept, self.host, self.port, limit=2**23, ssl=self.tls
        )

    async def _close(self) -> None:
        if self._server is not None:
            await self._connections.close(self._server)
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._converse(reader, writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.create_task(reader.read(1))
        try:
            while first := await gone:
                asked = await _read_request(first, reader)
                gone = asyncio.create_task(reader.read(1))
                await self._answer(asked, writer, gone)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _answer(
        self, asked: Asked, writer: asyncio.StreamWriter, gone: asyncio.Task[bytes]
    ) -> None:
        if asked.path == "/health":
            await self._play(self.health, writer, gone)
            return
        if asked.path == "/metrics":
            await self._play(self.gauges, writer, gone)
            return
        self.asked.append(asked)
        running = self._running
        running.add(id(asked))
        try:
            await self._play(self._next_script(), writer, gone)
        except ConnectionError:
            self.aborted += 1
            raise
        finally:
            running.discard(id(asked))

    def _next_script(self) -> Script:
        return self.answers.popleft() if self.answers else self.default

    async def _play(
        self, script: Script, writer: asyncio.StreamWriter, gone: asyncio.Task[bytes]
    ) -> None:
        for step in script:
            if isinstance(step, bytes):
                await self._send(step, writer, gone)
            elif step is Act.WAIT:
                await self._wait(gone)
            elif step is Act.DIE:
                writer.transport.abort()
            else:
                writer.close()

    async def _send(
        self, data: bytes, writer: asyncio.StreamWriter, gone: asyncio.Task[bytes]
    ) -> None:
        writer.write(data)
        drained = asyncio.ensure_future(writer.drain())
        await asyncio.wait({drained, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not drained.done() and _has_left(gone):
            drained.cancel()
            raise ConnectionResetError("the client left")
        await drained
        self.sent_bytes += len(data)

    async def _wait(
        self, gone: asyncio.Task[bytes], over: Callable[[], bool] | None = None
    ) -> None:
        """Wait until it is `over`: released, if nothing else is said."""
        waiting, is_over = self._waiting, over or self.released.is_set
        waiting.add(id(gone))
        try:
            while not is_over():
                done, _ = await asyncio.wait({gone}, timeout=0.002)
                if done and _has_left(gone):
                    raise ConnectionResetError("the client left")
        finally:
            waiting.discard(id(gone))


def _has_left(gone: asyncio.Task[bytes]) -> bool:
    return gone.done() and not gone.result()


async def _read_request(first: bytes, reader: asyncio.StreamReader) -> Asked:
    head = first + await reader.readuntil(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = line.split(" ")
    pairs = (header.partition(":") for header in rest)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body)


@contextmanager
def scripted_engine(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedEngine]:
    """A running `ScriptedEngine`, ended afterwards; with `tls` it speaks HTTPS."""
    engine = ScriptedEngine(tls)
    thread = threading.Thread(target=engine.run, name="scripted-engine")
    thread.start()
    try:
        engine.start()
        yield engine
    finally:
        engine.end()
        thread.join()


def wait_until(true: Callable[[], object], limit_s: float = 60.0) -> None:
    """Poll until `true()` holds."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.005)
