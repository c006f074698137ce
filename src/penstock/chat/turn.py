"""One turn: the engine is asked, the tools it calls are run, until it answers.

Calls of the client's own tools, and calls that the user must approve, end the turn: they are
handed back. Whatever else was called beside them is run before, and its result travels with them
(`continuation.py`); the request that brings the answers is the next turn.

The engine is always asked for a stream, and whatever cut its bytes have, the same events come
out: text flows to the client as it arrives, pieces of tool calls stay here. The chunk that says
how an answer ended waits until the whole answer is known, for only then is it clear whether the
turn goes on. A turn ends in one of three ways: with `Finished`, with an error of the engine, or
because it was cancelled; in each, nothing it began is left running.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

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
from penstock.chat.continuation import Continuations, Hidden, Pending, sealed_id
from penstock.chat.events import (
    Asked,
    Bound,
    Chunk,
    Event,
    Finished,
    Function,
    HandedBack,
    Usage,
)
from penstock.chat.outgoing import Outgoing
from penstock.chat.parsers.chunks import ParsedChunks
from penstock.chat.ports import Engine
from penstock.chat.request import TurnRequest
from penstock.chat.resume import is_resumed, restore, tool_message
from penstock.chat.sse import EventReader
from penstock.chat.toolbox import Toolbox
from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import AnswerUnfit, EngineDied

_CUT_SHORT = ("length", "content_filter")

Tell = Callable[[Event], None]
"""Gets the events of a turn as they happen; must not wait."""

Pace = Callable[[], Awaitable[None]]
"""Waits until more text can be taken; awaited after each piece of it."""


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
        continuations: Continuations | None = None,
    ) -> None:
        """Without `continuations` nothing can be approved, and the client has no tools.

        Raises:
            RequestError: a tool of the client has the name of one of the gateway's.
        """
        if request.client_tools and continuations is None:
            raise ValueError("calls cannot be handed back without continuations")
        self._definitions = toolbox.with_client_tools(request.client_tools)
        self._request, self._engine, self._toolbox = request, engine, toolbox
        self._continuations = continuations
        names = (*toolbox.names, *request.client_tools) if request.tools_allowed else ()
        self._callable = frozenset(names)
        self._settled: dict[str, str] = {}
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._tell: Tell = _nobody
        self._pace: Pace | None = None
        self._out = Outgoing()
        self._replies: list[Reply] = []
        self._held: list[tuple[bytes, ChatChunk]] = []
        self.usage = Usage(0, 0, 0)
        self.usage_complete = True
        self.unreported_deltas = 0
        self.tool_rounds = 0
        self.repaired = False

    async def run(self, tell: Tell, pace: Pace | None = None) -> Finished:
        """Run the turn; `tell` gets its events in order, `Finished` last.

        Cancel it to break it off.

        Raises:
            EngineError: the engine could not be asked, refused, or died in its answer.
            AnswerUnfit: the answer is not what was asked for, and was not when asked again.
            RequestError: what the request resumes cannot be resumed.
        """
        self._tell, self._pace = tell, pace
        deadline_s = self._clock() + self._bounds.turn_timeout_s
        runner = CallRunner(
            self._toolbox, self._bounds, deadline_s, self._clock, self._request.client_tools
        )
        if self._continuations is not None and is_resumed(self._request.messages):
            await self._resume(self._continuations, runner)
        added: list[Raw] = []
        while True:
            bound = self._bound(deadline_s)
            tools = None if self.repaired else self._offered(bound)
            body = self._request.engine_body(added, tools, first=not self.tool_rounds)
            reply = await self._ask(body)
            ended = tools is None or bound is not None or reply.finish_reason in _CUT_SHORT
            share = self._share(() if tools is None else reply.calls, runner, ended=ended)
            if share.run:
                await self._carry_out(share, runner)
            further = self._further(reply, share)
            if not further:
                break
            added += further
        finished = self._finished(reply, bound, share, added)
        if self._request.streams:
            tell(self._closing(finished))
        tell(finished)
        return finished

    async def _resume(self, continuations: Continuations, runner: CallRunner) -> None:
        """Open what the messages carry, and run the calls that they approve."""
        resumed = restore(self._request.messages, continuations)
        if resumed.approval is not None:
            await continuations.redeem(resumed.approval)
            self.tool_rounds += 1
            calls = [Call(d.call.id, d.call.name, d.call.arguments) for d in resumed.decisions]
            decided = list(zip(resumed.decisions, calls, strict=True))
            for decision, call in decided:
                if not decision.approved:
                    self._tell(runner.deny(call, decision.refusal))
            await runner.run([c for d, c in decided if d.approved], self._tell)
            for decision, call in decided:
                resumed.settle(decision, call.result)
                self._settled[f"{resumed.approval.nonce}.{call.id}"] = call.result
        self._request = replace(self._request, messages=tuple(resumed.messages))

    def _offered(self, bound: Bound | None) -> Raw | None:
        """Return the tools the model is told of: at a bound, the client's own alone."""
        if not self._request.tools_allowed:
            return None
        client_tools = self._request.client_tools
        if bound is not None:
            return Raw(msgspec.json.encode(list(client_tools.values()))) if client_tools else None
        return self._definitions if len(self._toolbox) or client_tools else None

    def _share(self, calls: Sequence[Call], runner: CallRunner, *, ended: bool) -> "_Share":
        """Say who sees to which call; when the rounds have `ended` no tool of ours is run."""
        share = _Share()
        for call in calls:
            if call.name in self._request.client_tools:
                share.client.append(call)
            elif ended:
                continue
            elif self._continuations is not None and runner.waits(call):
                share.pending.append(call)
            else:
                share.run.append(call)
        return share

    async def _carry_out(self, share: "_Share", runner: CallRunner) -> None:
        """Run our calls; what would need an approval that cannot be asked for is denied."""
        if not share.handed and self._request.wanted is None:
            for chunk in self._held_text():
                self._tell(chunk)
        self.tool_rounds += 1
        may_run: list[Call] = []
        for call in share.run:
            if runner.waits(call):
                why = "this needs the user's approval, which cannot be had here"
                self._tell(runner.deny(call, why))
            else:
                may_run.append(call)
        await runner.run(may_run, self._tell)

    def _bound(self, deadline_s: float) -> Bound | None:
        if not self.tool_rounds:
            return None
        if self.tool_rounds >= self._bounds.max_rounds:
            return "rounds"
        return "time" if self._clock() >= deadline_s else None

    async def _ask(self, body: bytes) -> Reply:
        """Tell one answer of the engine, all but its end, and return it."""
        reply = Reply()
        self._replies.append(reply)
        self._held = []
        parsed = self._parser()
        try:
            stream = self._engine.stream(body)
            try:
                events = EventReader(stream)
                while (datas := await events.next()) is not None:
                    texts: list[bytes] = []
                    try:
                        for data in datas:
                            self._take(data, reply, parsed, texts)
                    finally:
                        if texts:
                            self._tell(Chunk(b"".join(texts), len(texts)))
                    if texts and self._pace is not None:
                        await self._pace()
            finally:
                await stream.aclose()
            if reply.finish_reason is None:
                raise EngineDied("the engine's answer ended in the middle")
        finally:
            self._account(reply)
        return reply

    def _take(
        self, data: bytes, reply: Reply, parsed: ParsedChunks | None, texts: list[bytes]
    ) -> None:
        """Add an event to the reply, and to `texts` what of it the client gets now."""
        whole = (data, read_chunk(data))
        for part in parsed.through(*whole) if parsed else (whole,):
            reply.add(part[1])
            if not self._request.streams:
                self._out.begin(part[1])
            elif reply.finish_reason is not None or self._request.wanted is not None:
                self._out.begin(part[1])
                self._held.append(part)
            elif text := self._out.text(*part):
                texts.append(text)

    def _further(self, reply: Reply, share: "_Share") -> list[Raw]:
        """Return the messages with which the engine is asked again; none if the turn is over."""
        if share.handed:
            return []
        return _conversation(reply, share) if share.run else self._correction(reply)

    def _correction(self, reply: Reply) -> list[Raw]:
        """Return what to say to the model whose answer is not as `wanted`; nothing if it is.

        An answer that was cut short or refused is the client's to judge: it says so by itself.
        """
        wanted = self._request.wanted
        if wanted is None or reply.finish_reason in _CUT_SHORT or reply.text("refusal"):
            return []
        text = reply.text("content") or ""
        problems = wanted.problems(text)
        if problems and self.repaired:
            raise AnswerUnfit(
                "the model's answer is not what `response_format` asks for",
                why=f"{problems}; it was asked twice",
                fix="Ask again, or for something simpler.",
                usage=self.usage.counts if self.usage_complete else None,
            )
        self.repaired = self.repaired or bool(problems)
        return wanted.correction(text, problems) if problems else []

    def _parser(self) -> ParsedChunks | None:
        """Return what finds calls in the text, where the engine does not."""
        form, names = self._request.traits.tools_format, self._callable
        return ParsedChunks(form, names) if form and names else None

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

    def _closing(self, finished: Finished) -> Chunk:
        """Give the end of the client's stream; the first chunk with a finish reason carries it."""
        texts: list[bytes] = []
        if finished.message.tool_calls:
            texts.append(self._out.calls(finished.message.tool_calls))
        ended = False
        for data, chunk in self._held:
            if not ended and chunk.choices and chunk.choices[0].finish_reason is not None:
                texts.append(self._out.end(data, finished.finish_reason, finished.extras))
                ended = True
            elif text := self._out.text(data, chunk):
                texts.append(text)
        if self._request.wants_usage and self.usage_complete:
            texts.append(self._out.usage(self.usage))
        return Chunk(b"".join(texts), len(texts))

    def _hand_back(
        self, reply: Reply, share: "_Share", added: Sequence[Raw]
    ) -> tuple[tuple[HandedBack, ...], tuple[Asked, ...]]:
        """Return the calls the client gets, and those among them that it is to approve."""
        handed = [call for call in reply.calls if call in share.handed]
        names = [call.id for call in handed]
        approval = None
        hides = added or share.run or share.pending or self._settled
        if handed and hides and self._continuations is not None:
            if share.pending:
                waiting = (Pending(call.id, call.name, call.arguments) for call in share.pending)
                approval = self._continuations.approval(tuple(waiting))
            messages = [*added, *_conversation(reply, share)]
            token = self._continuations.seal(Hidden(messages, approval, self._settled))
            names = [sealed_id(call.id, "" if at else token) for at, call in enumerate(handed)]
        back = tuple(
            HandedBack(name, Function(call.name, call.arguments))
            for name, call in zip(names, handed, strict=True)
        )
        asked = tuple(
            Asked(name, call.name, call.arguments, approval.expires_s)
            for name, call in zip(names, handed, strict=True)
            if approval is not None and call in share.pending
        )
        return back, asked

    def _finished(
        self, last: Reply, bound: Bound | None, share: "_Share", added: Sequence[Raw]
    ) -> Finished:
        reason = last.finish_reason or "stop"
        back, asked = self._hand_back(last, share, added)
        replies = self._replies if self._request.wanted is None else [last]
        if reason not in _CUT_SHORT and (back or reason == "tool_calls"):
            # Calls of an answer that was to have none are dropped: nobody would answer them.
            reason = "tool_calls" if back else "stop"
        return Finished(
            id=self._out.identity.id,
            created=self._out.identity.created,
            model=self._out.identity.model,
            message=join_messages(replies, back),
            finish_reason=reason,
            usage=self.usage,
            usage_complete=self.usage_complete,
            tool_rounds=self.tool_rounds,
            bound=bound,
            logprobs=join_logprobs(replies),
            approvals=asked,
            tells_tools=len(self._toolbox) > 0 and self._request.wanted is None,
            repaired=self.repaired,
        )


def _nobody(event: Event) -> None:
    """Nobody is told before the turn runs."""


@dataclass(slots=True)
class _Share:
    """Who sees to the calls of one answer: us, the user first, or the client."""

    run: list[Call] = field(default_factory=list)
    pending: list[Call] = field(default_factory=list)
    client: list[Call] = field(default_factory=list)

    @property
    def handed(self) -> list[Call]:
        """What ends the turn."""
        return [*self.pending, *self.client]


def _conversation(reply: Reply, share: _Share) -> list[Raw]:
    """Return the messages a round of calls adds: the assistant's, then a result for each run."""
    kept = [call for call in reply.calls if call in share.run or call in share.handed]
    asked = {
        "role": "assistant",
        "content": reply.text("content") or None,
        **{name: text for name in Reply.TEXTS[1:] if (text := reply.text(name))},
        "tool_calls": [_asked(call) for call in kept],
    }
    told = [tool_message(call.id, call.result) for call in kept if call in share.run]
    return [Raw(msgspec.json.encode(asked)), *told]


def _asked(call: Call) -> dict[str, object]:
    # Engines parse the arguments of earlier calls for their chat template, and refuse the whole
    # request where that fails: what was no JSON object is repeated as an empty one.
    function = {"name": call.name, "arguments": call.arguments if _usable(call) else "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _usable(call: Call) -> bool:
    try:
        return bool(call.arguments.strip()) and read_arguments(call.arguments) is not None
    except ValueError:
        return False
