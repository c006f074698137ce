"""One turn: the engine is asked, the tools it calls are run, until it answers.

The engine is always asked for a stream, and whatever cut its bytes have, the same events come
out: text flows to the client as it arrives, pieces of tool calls stay here. The chunk that says
how an answer ended waits until the whole answer is known, for only then is it clear whether the
turn goes on. A turn ends in one of three ways: with `Finished`, with an error of the engine, or
because its consumer closed it; in each, nothing it began is left running.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress

import msgspec
from msgspec import Raw

from penstock.chat.accumulate import (
    Call,
    ChatChunk,
    Reply,
    add_usage,
    join_logprobs,
    join_messages,
    read_chunk,
)
from penstock.chat.calls import Bounds, CallRunner, read_arguments
from penstock.chat.events import Bound, Chunk, Event, Finished, Usage
from penstock.chat.outgoing import Outgoing
from penstock.chat.ports import ByteStream, Engine
from penstock.chat.request import TurnRequest
from penstock.chat.sse import Splitter
from penstock.chat.toolbox import Toolbox
from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import EngineDied, EngineError

_DRAIN_S = 1.0
_CUT_SHORT = ("length", "content_filter")


class Turn:
    """One request of a client, to its end. Use it once.

    The counters are live, so that a turn that was broken off can still be accounted for:
    `usage` sums what the engine reported; `usage_complete` says whether that was every round;
    `unreported_deltas` counts the chunks of rounds it did not report, about one a token.
    """

    def __init__(
        self,
        request: TurnRequest,
        engine: Engine,
        toolbox: Toolbox,
        bounds: Bounds | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._request, self._engine, self._toolbox = request, engine, toolbox
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._out = Outgoing()
        self._replies: list[Reply] = []
        self._held: list[tuple[bytes, ChatChunk]] = []
        self.usage = Usage(0, 0, 0)
        self.usage_complete = True
        self.unreported_deltas = 0
        self.tool_rounds = 0

    async def events(self) -> AsyncGenerator[Event, None]:
        """Run the turn. Close it (`contextlib.aclosing`) or cancel it to break it off.

        Raises:
            EngineError: the engine could not be asked, refused, or died in its answer.
        """
        deadline_s = self._clock() + self._bounds.turn_timeout_s
        runner = CallRunner(self._toolbox, self._bounds, deadline_s, self._clock)
        added: list[Raw] = []
        while True:
            bound = self._bound(deadline_s)
            offers = len(self._toolbox) > 0 and self._request.tools_allowed and bound is None
            tools = self._toolbox.definitions if offers else None
            body = self._request.engine_body(added, tools, first=not self.tool_rounds)
            async with aclosing(self._ask(body)) as chunks:
                async for chunk in chunks:
                    yield chunk
            reply = self._replies[-1]
            if not offers or not reply.calls or reply.finish_reason in _CUT_SHORT:
                break
            for chunk in self._held_text():
                yield chunk
            self.tool_rounds += 1
            async with aclosing(runner.run(reply.calls)) as steps:
                async for step in steps:
                    yield step
            added += _conversation(reply)
        finished = self._finished(reply, bound)
        for chunk in self._closing(finished):
            yield chunk
        yield finished

    def _bound(self, deadline_s: float) -> Bound | None:
        if not self.tool_rounds:
            return None
        if self.tool_rounds >= self._bounds.max_rounds:
            return "rounds"
        return "time" if self._clock() >= deadline_s else None

    async def _ask(self, body: bytes) -> AsyncGenerator[Chunk, None]:
        """Stream one answer of the engine into a new reply; its end is held back."""
        reply = Reply()
        self._replies.append(reply)
        self._held = []
        try:
            async with aclosing(_event_data(self._engine.stream(body))) as events:
                async for data in events:
                    chunk = read_chunk(data)
                    reply.add(chunk)
                    if reply.finish_reason is not None:
                        self._held.append((data, chunk))
                    elif text := self._out.text(data, chunk):
                        yield Chunk(text)
            if reply.finish_reason is None:
                raise EngineDied("the engine's answer ended in the middle")
        finally:
            self._account(reply)

    def _account(self, reply: Reply) -> None:
        if reply.usage is None:
            self.usage_complete = False
            self.unreported_deltas += reply.deltas
        else:
            self.usage = add_usage(self.usage, reply.usage)

    def _held_text(self) -> Iterator[Chunk]:
        """Give what was held of an answer that does not end the turn."""
        for data, chunk in self._held:
            if text := self._out.text(data, chunk):
                yield Chunk(text)

    def _closing(self, finished: Finished) -> Iterator[Chunk]:
        """Give the end of the client's stream; the first chunk with a finish reason carries it."""
        ended = False
        for data, chunk in self._held:
            if not ended and chunk.choices and chunk.choices[0].finish_reason is not None:
                yield Chunk(self._out.end(data, finished.finish_reason, finished.metadata))
                ended = True
            elif text := self._out.text(data, chunk):
                yield Chunk(text)
        if self._request.wants_usage and self.usage_complete:
            yield Chunk(self._out.usage(self.usage))

    def _finished(self, last: Reply, bound: Bound | None) -> Finished:
        reason = last.finish_reason or "stop"
        return Finished(
            id=self._out.identity.id,
            created=self._out.identity.created,
            model=self._out.identity.model,
            message=join_messages(self._replies),
            # Calls of an answer that was to have none are dropped: nobody would answer them.
            finish_reason="stop" if reason == "tool_calls" else reason,
            usage=self.usage,
            usage_complete=self.usage_complete,
            tool_rounds=self.tool_rounds,
            bound=bound,
            logprobs=join_logprobs(self._replies),
        )


async def _event_data(stream: ByteStream) -> AsyncGenerator[bytes, None]:
    """Give the data of each event up to `[DONE]`, and close the stream whatever happens."""
    splitter = Splitter()
    try:
        async for piece in stream:
            for data in splitter.feed(piece):
                if data == b"[DONE]":
                    await _drain(stream)
                    return
                yield data
        for data in splitter.finish():
            if data != b"[DONE]":
                yield data
    finally:
        await stream.aclose()


async def _drain(stream: ByteStream) -> None:
    """Read to the end, so that the connection can be used again; the answer is already whole."""
    with suppress(TimeoutError, EngineError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in stream:
                pass


def _conversation(reply: Reply) -> list[Raw]:
    """Return the messages a round of calls adds: the assistant's, then one result a call."""
    asked = {
        "role": "assistant",
        "content": reply.text("content") or None,
        **{name: text for name in Reply.TEXTS[1:] if (text := reply.text(name))},
        "tool_calls": [_asked(call) for call in reply.calls],
    }
    told = [
        {"role": "tool", "tool_call_id": call.id, "content": call.result} for call in reply.calls
    ]
    return [Raw(msgspec.json.encode(message)) for message in (asked, *told)]


def _asked(call: Call) -> dict[str, object]:
    # Engines parse the arguments of earlier calls for their chat template, and refuse the whole
    # request where that fails: what was no JSON object is repeated as an empty one.
    usable = call.arguments.strip() and read_arguments(call.arguments) is not None
    function = {"name": call.name, "arguments": call.arguments if usable else "{}"}
    return {"id": call.id, "type": "function", "function": function}
