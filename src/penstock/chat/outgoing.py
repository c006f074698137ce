"""The stream a client sees: one answer, whatever number of engine answers it was made of.

Most chunks of the first round need no change and pass as the bytes that came; in later rounds
they get the first one's id, created and model, by replacing the bytes before `"choices"`. The few
others are decoded, mended and encoded again: the role is told once; pieces of tool calls, which
are the gateway's own business, are taken out; so is the engine's usage, because the client gets
the sum of all rounds, and only if it asked.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Raw

from penstock.chat.accumulate import ChatChunk
from penstock.chat.events import HandedBack, Usage
from penstock.chat.sse import frame


class Identity(NamedTuple):
    """What all chunks of one answer share; `created` in Unix seconds."""

    id: str
    created: int
    model: str


class _UsageChunk(msgspec.Struct, frozen=True):
    id: str
    created: int
    model: str
    usage: Usage
    object: str = "chat.completion.chunk"
    choices: tuple[()] = ()


class Outgoing:
    """Turns chunks of the engine into events for the client."""

    def __init__(self) -> None:
        self.identity = Identity(id="", created=0, model="")
        self._begun = False
        self._role_told = False
        self._their_head = self._our_head = b""

    def begin(self, chunk: ChatChunk) -> None:
        """Take the identity of the first chunk there is."""
        if not self._begun:
            self.identity = Identity(id=chunk.id, created=chunk.created, model=chunk.model)
            self._begun = True

    def text(self, data: bytes, chunk: ChatChunk) -> bytes:
        """Return the framed event for a chunk in the midst of an answer; may be empty."""
        self.begin(chunk)
        if not chunk.choices:
            return b""
        choice = chunk.choices[0]
        only_text = (
            choice.delta.tool_calls is None
            and choice.finish_reason is None
            and chunk.usage is None
            and (choice.delta.role is None) is self._role_told
        )
        if only_text:
            self._role_told = True
            if self.identity == (chunk.id, chunk.created, chunk.model):
                return frame(data)
            return frame(self._renamed(data))
        return self._mended(data, finish_reason=None, extras={})

    def end(self, data: bytes, finish_reason: str, extras: Mapping[str, object]) -> bytes:
        """Return the framed event that ends the whole answer; `extras` are fields of ours."""
        return self._mended(data, finish_reason=finish_reason, extras=extras)

    def calls(self, calls: tuple[HandedBack, ...]) -> bytes:
        """Return the framed event with the calls the client gets, whole."""
        delta: dict[str, object] = {} if self._role_told else {"role": _ASSISTANT}
        self._role_told = True
        delta["tool_calls"] = [
            {"index": index, "id": call.id, "type": call.type, "function": call.function}
            for index, call in enumerate(calls)
        ]
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        head = {**self.identity._asdict(), "object": "chat.completion.chunk"}
        return frame(msgspec.json.encode({**head, "choices": [choice]}))

    def usage(self, usage: Usage) -> bytes:
        """Return the framed event with the usage of all rounds."""
        return frame(msgspec.json.encode(_UsageChunk(*self.identity, usage)))

    def _renamed(self, data: bytes) -> bytes:
        # The bytes `"choices"` cannot stand inside a JSON string, whose quotes are escaped.
        head, key, rest = data.partition(b'"choices"')
        if head != self._their_head:
            self._their_head, self._our_head = head, self._new_head(head)
        if self._our_head:
            return self._our_head + key + rest
        return msgspec.json.encode({**_read_fields(data), **self.identity._asdict()})

    def _new_head(self, head: bytes) -> bytes:
        """Return `head` with our names; nothing if not all of them stand in it."""
        try:
            fields = _read_fields(head.rstrip(b", ") + b"}")
        except msgspec.DecodeError:
            return b""
        if not fields.keys() >= set(Identity._fields):
            return b""
        named = {**fields, **self.identity._asdict()}
        return msgspec.json.encode(named)[:-1] + b","

    def _mended(
        self, data: bytes, *, finish_reason: str | None, extras: Mapping[str, object]
    ) -> bytes:
        fields = _read_fields(data)
        choice = _read_choices(fields["choices"])[0]
        delta = _read_fields(choice.get("delta", _EMPTY))
        if delta.pop("tool_calls", None) is not None:
            choice.pop("logprobs", None)
        delta.pop("role", None)
        news = [raw for raw in (*delta.values(), choice.get("logprobs")) if raw not in _NOTHING]
        if self._role_told and finish_reason is None and not news:
            return b""
        if not self._role_told:
            delta = {"role": _ASSISTANT, **delta}
            self._role_told = True
        if finish_reason is None:
            choice.pop("stop_reason", None)
        mended: dict[str, object] = {**fields, **self.identity._asdict()}
        mended["choices"] = [{**choice, "delta": delta, "finish_reason": finish_reason}]
        mended.pop("usage", None)
        mended.update(extras)
        return frame(msgspec.json.encode(mended))


_read_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_read_choices = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_EMPTY, _ASSISTANT = Raw(b"{}"), Raw(b'"assistant"')
_NOTHING = (None, Raw(b"null"), Raw(b'""'), Raw(b"[]"))
