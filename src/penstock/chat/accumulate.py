"""One answer of the engine, put together from its chunks."""

import secrets
from collections.abc import Sequence

import msgspec

from penstock.chat.events import HandedBack, Message, Usage
from penstock.ground.errors import EngineDied, EngineRefused


class FunctionDelta(msgspec.Struct, frozen=True):
    """A piece of a call: the name comes once, the arguments in pieces."""

    name: str | None = None
    arguments: str | None = None


class CallDelta(msgspec.Struct, frozen=True):
    """A piece of one tool call."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Delta(msgspec.Struct, frozen=True):
    """What a chunk adds to the message."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(msgspec.Struct, frozen=True):
    """One of a chunk's answers; a turn has only one."""

    delta: Delta = Delta()
    finish_reason: str | None = None
    logprobs: dict[str, list[msgspec.Raw] | None] | None = None


class Details(msgspec.Struct, frozen=True):
    """`usage` of one answer as engines write it; counters may be absent or null."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    total_tokens: int | None = None
    prompt_tokens_details: dict[str, int | None] | None = None
    completion_tokens_details: dict[str, int | None] | None = None


class ChatChunk(msgspec.Struct, frozen=True):
    """`chat.completion.chunk`, as far as a turn reads it."""

    id: str = ""
    created: int = 0
    model: str = ""
    choices: list[Choice] = []
    usage: Details | None = None
    error: object = None


class Call(msgspec.Struct):
    """A tool call of the model, whole once the answer is; `result` once it was run."""

    id: str
    name: str = ""
    arguments: str = ""
    result: str = ""


_decoder = msgspec.json.Decoder(ChatChunk)


class _Code(msgspec.Struct):
    message: str = ""
    code: int | str | None = None


def read_chunk(data: bytes) -> ChatChunk:
    """Decode an event's data.

    Raises:
        EngineRefused: it is an error event.
        EngineDied: it is no chat chunk.
    """
    try:
        chunk = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EngineDied("the engine sent what is not a chat chunk", why=str(error)) from error
    if chunk.error is not None:
        raise _refusal(chunk.error, data)
    return chunk


def _refusal(error: object, body: bytes) -> EngineRefused:
    try:
        told = msgspec.convert(error, _Code)
    except msgspec.ValidationError:
        told = _Code()
    status = told.code if isinstance(told.code, int) and 400 <= told.code < 600 else 500
    what = "the engine broke off its answer"
    return EngineRefused(
        f"{what}: {told.message}" if told.message else what, status=status, body=body
    )


class Reply:
    """Collects one answer: its text, calls, end and usage."""

    TEXTS = ("content", "refusal", "reasoning", "reasoning_content")

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.calls: list[Call] = []
        self.deltas = 0
        self.logprobs: dict[str, list[msgspec.Raw]] = {}
        self._texts: dict[str, list[str]] = {}
        self._by_index: dict[int, Call] = {}

    def add(self, chunk: ChatChunk) -> None:
        """Take in the next chunk."""
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if not chunk.choices:
            return
        choice = chunk.choices[0]
        delta = choice.delta
        self.deltas += 1
        self._add_texts(delta)
        for piece in delta.tool_calls or ():
            self._add_call(piece)
        if choice.logprobs and delta.tool_calls is None:
            for name, entries in choice.logprobs.items():
                self.logprobs.setdefault(name, []).extend(entries or ())
        if choice.finish_reason is not None and self.finish_reason is None:
            self.finish_reason = choice.finish_reason

    def _add_texts(self, delta: Delta) -> None:
        if delta.content is not None:
            self._add_text("content", delta.content)
        if delta.refusal is not None:
            self._add_text("refusal", delta.refusal)
        if delta.reasoning is not None:
            self._add_text("reasoning", delta.reasoning)
        if delta.reasoning_content is not None:
            self._add_text("reasoning_content", delta.reasoning_content)

    def _add_text(self, name: str, text: str) -> None:
        if name in self._texts:
            self._texts[name].append(text)
        else:
            self._texts[name] = [text]

    def text(self, name: str) -> str | None:
        """Return one of `TEXTS`, or None if the engine never sent it."""
        pieces = self._texts.get(name)
        return None if pieces is None else "".join(pieces)

    def _add_call(self, piece: CallDelta) -> None:
        call = self._call_of(piece)
        if piece.function is not None:
            call.name = call.name or piece.function.name or ""
            call.arguments += piece.function.arguments or ""

    def _call_of(self, piece: CallDelta) -> Call:
        """Find the call a piece belongs to.

        Some servers leave the index out, or number every call 0: a new id together with a name
        starts a new call.
        """
        index = piece.index if piece.index is not None else max(self._by_index, default=0)
        call = self._by_index.get(index)
        begins = piece.id and piece.function and piece.function.name
        if call is None or (begins and call.id != piece.id):
            call = self._by_index[index] = Call(id=piece.id or new_call_id())
            self.calls.append(call)
        return call


def new_call_id() -> str:
    """Return an id for a call that came without one."""
    # Nine letters and digits: the one form that Mistral's chat template takes, too.
    return secrets.token_hex(5)[:9]


def _usage(told: Details) -> Usage:
    completion = told.completion_tokens or 0
    total = told.total_tokens
    return Usage(
        prompt_tokens=told.prompt_tokens,
        completion_tokens=completion,
        total_tokens=told.prompt_tokens + completion if total is None else total,
        prompt_tokens_details=_counters(told.prompt_tokens_details),
        completion_tokens_details=_counters(told.completion_tokens_details),
    )


def _counters(told: dict[str, int | None] | None) -> dict[str, int] | None:
    counters = {name: count for name, count in (told or {}).items() if count is not None}
    return counters or None


def add_usage(one: Usage, other: Usage) -> Usage:
    """Sum two usages, counter by counter."""
    return Usage(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        total_tokens=one.total_tokens + other.total_tokens,
        prompt_tokens_details=_sum(one.prompt_tokens_details, other.prompt_tokens_details),
        completion_tokens_details=_sum(
            one.completion_tokens_details, other.completion_tokens_details
        ),
    )


def _sum(one: dict[str, int] | None, other: dict[str, int] | None) -> dict[str, int] | None:
    if one is None or other is None:
        return one or other
    return {name: one.get(name, 0) + other.get(name, 0) for name in one | other}


def join_messages(replies: Sequence[Reply], calls: tuple[HandedBack, ...] = ()) -> Message:
    """Return the message a client gets: the texts of all rounds, in order, and `calls`."""
    texts: dict[str, str | None] = {}
    for name in Reply.TEXTS:
        pieces = [text for reply in replies if (text := reply.text(name)) is not None]
        texts[name] = "".join(pieces) if pieces else None
    return Message(role="assistant", tool_calls=calls or None, **texts)


def join_logprobs(replies: Sequence[Reply]) -> dict[str, list[msgspec.Raw]] | None:
    """Return the log probabilities of all rounds; None if the engine gave none."""
    joined: dict[str, list[msgspec.Raw]] = {}
    for reply in replies:
        for name, entries in reply.logprobs.items():
            joined.setdefault(name, []).extend(entries)
    return joined or None
