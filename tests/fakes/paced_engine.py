"""An OpenAI-compatible engine over a real socket that keeps a pace it was told."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.connections import Connections
from tests.fakes.gateway_answers import DONE, LAST, STREAM_HEAD, chunk, delta, event, usage_event

MODEL = "paced"
TEMPLATE_TOKENS = 5


@dataclass
class PacedEngine:
    """First token after `first_s`, then one every `gap_s`; a prompt has two tokens a word.

    `refuses` are fields it answers 400 to; `status` other than 200 refuses everything;
    `breaks` ends every answer in its midst, `silent` sends no text at all.
    """

    first_s: float = 0.02
    gap_s: float = 0.005
    refuses: frozenset[str] = frozenset()
    status: int = 200
    breaks: bool = False
    silent: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _running: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is closed."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._exchange(head.decode(), reader, writer)

    async def _exchange(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        if head.startswith("GET"):
            told = {"data": [{"id": MODEL}], "version": "1.2.3"}
            _send(writer, 200, told)
            return
        request = json.loads(await reader.readexactly(int(lines["content-length"])))
        self.asked.append(request)
        self.ids.append(lines["x-request-id"])
        unknown = self.refuses & set(request)
        if self.status != 200 or unknown:
            _send(writer, self.status if self.status != 200 else 400, {"error": "no"})
            return
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            await self._stream(request, writer)
        finally:
            self._running -= 1

    async def _stream(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        tokens = request["max_tokens"]
        for number in range(tokens):
            await asyncio.sleep(self.gap_s if number else self.first_s)
            if not self.silent:
                writer.write(chunk(delta("x ")))
            if self.breaks and number == 1:
                writer.write(chunk(event({"error": {"message": "lost"}})))
                break
        words = len(request["messages"][0]["content"].split())
        usage = {"prompt_tokens": TEMPLATE_TOKENS + 2 * words, "completion_tokens": tokens}
        writer.write(chunk(usage_event(usage)) + chunk(DONE) + LAST)
        await writer.drain()


def _send(writer: asyncio.StreamWriter, status: int, body: object) -> None:
    data = json.dumps(body).encode()
    writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(data), data))


@contextmanager
def serve(engine: PacedEngine) -> Iterator[PacedEngine]:
    """`engine` on a free port, in a thread of its own."""
    begun, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        connections = Connections(engine.answer)
        server = await asyncio.start_server(connections.accept, "127.0.0.1", 0)
        engine.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        begun.set()
        await stop.wait()
        await connections.close(server)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    begun.wait(60)
    try:
        yield engine
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()
