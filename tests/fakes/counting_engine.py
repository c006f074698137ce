"""An engine that keeps a journal of its own: what it was asked, and how much it has generated.

A prompt has as many tokens as its messages have words; an answer has `max_tokens` tokens, one an
event. The journal is what the gateway's ledger is compared with.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.fakes.gateway_answers import DONE, LAST, STREAM_HEAD, chunk, delta, event, plain
from tests.fakes.gateway_engine import Asked, ScriptedEngine


@dataclass
class Generated:
    """One request as the engine knows it."""

    prompt: int
    tokens: int = 0
    ended: bool = False


class CountingEngine(ScriptedEngine):
    """Answers by itself; `stop_at` tokens it waits until the client leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.journal: dict[str, Generated] = {}
        self.asked_twice: list[str] = []
        self.stop_at: int | None = None
        self.pause_s = 0.0
        self.holds_after: int | None = None
        """Once so many requests have ended, answers that are no streams wait for another word."""

    @property
    def ended(self) -> int:
        """Requests that were answered to their end."""
        return sum(row.ended for row in list(self.journal.values()))

    @property
    def goes_on(self) -> bool:
        """Whether answers need not wait."""
        return self.holds_after is None or self.ended < self.holds_after

    async def _answer(
        self, asked: Asked, writer: asyncio.StreamWriter, gone: asyncio.Task[bytes]
    ) -> None:
        if asked.path in ("/health", "/metrics"):
            await super()._answer(asked, writer, gone)
            return
        request_id = asked.headers["x-request-id"]
        body = asked.json
        if request_id in self.journal:
            self.asked_twice.append(request_id)
        words = sum(len(message["content"].split()) for message in body["messages"])
        row = self.journal[request_id] = Generated(words)
        running = self._running
        running.add(id(asked))
        try:
            if body.get("stream"):
                await self._stream(row, body["max_tokens"], writer, gone)
            else:
                row.tokens = body["max_tokens"]
                await asyncio.sleep(self.pause_s)
                await self._wait(gone, lambda: self.goes_on)
                await self._send(plain(_whole(row))[0], writer, gone)
            row.ended = True
        except ConnectionError:
            self.aborted += 1
            raise
        finally:
            running.discard(id(asked))

    async def _stream(
        self,
        row: Generated,
        tokens: int,
        writer: asyncio.StreamWriter,
        gone: asyncio.Task[bytes],
    ) -> None:
        await self._send(STREAM_HEAD + chunk(delta("", role="assistant")), writer, gone)
        while True:
            if row.tokens == self.stop_at:
                await self._wait(gone)
            if row.tokens == tokens:
                break
            row.tokens += 1
            await self._send(chunk(delta("word ")), writer, gone)
            await asyncio.sleep(self.pause_s)
        end = [delta(finish_reason="stop"), event({"choices": [], "usage": _usage(row)}), DONE]
        await self._send(b"".join(chunk(each) for each in end) + LAST, writer, gone)


def _usage(row: Generated) -> dict[str, int]:
    total = row.prompt + row.tokens
    return {
        "prompt_tokens": row.prompt,
        "completion_tokens": row.tokens,
        "total_tokens": total,
    }


def _whole(row: Generated) -> dict[str, object]:
    message = {"role": "assistant", "content": "word " * row.tokens}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    envelope = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": "scripted"}
    return {**envelope, "choices": [choice], "usage": _usage(row)}


@contextmanager
def counting_engine() -> Iterator[CountingEngine]:
    """A running `CountingEngine`, ended afterwards."""
    engine = CountingEngine()
    thread = threading.Thread(target=engine.run, name="counting-engine")
    thread.start()
    try:
        engine.start()
        yield engine
    finally:
        engine.end()
        thread.join()
