"""The chunks of an engine that leaves calls in its text, as if it had parsed them itself."""

from collections.abc import Collection, Sequence

import msgspec
from msgspec import Raw

from penstock.chat.accumulate import ChatChunk, new_call_id, read_chunk
from penstock.chat.parsers.form import FORMS
from penstock.chat.parsers.reader import CallReader, Piece
from penstock.chat.parsers.written import WrittenCall

_read_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_read_choices = msgspec.json.Decoder(list[dict[str, Raw]]).decode


class ParsedChunks:
    """Filters one answer. An engine that sends `tool_calls` by itself is left alone."""

    def __init__(self, form: str, names: Collection[str]) -> None:
        """`form` is one of `FORMS`; `names` are the tools that may be called."""
        self._reader: CallReader | None = CallReader(FORMS[form], names)
        self._calls = 0
        self._scores: list[Raw] = []  # of text that is held back

    def through(self, data: bytes, chunk: ChatChunk) -> Sequence[tuple[bytes, ChatChunk]]:
        """Return the chunks that stand for this one, each as it is sent and as it is read."""
        if self._reader is None or not chunk.choices:
            return ((data, chunk),)
        choice = chunk.choices[0]
        content, ended = choice.delta.content, choice.finish_reason is not None
        if choice.delta.tool_calls is not None:
            pieces, self._reader = self._reader.finish(), None
            before = [self._rewritten(data, chunk, pieces, last=False)] if pieces else []
            return (*before, (data, chunk))
        if not content and not ended:
            return ((data, chunk),)
        pieces = self._reader.push(content) if content else []
        if ended:
            pieces += self._reader.finish()
            self._reader = None
        if pieces == ([content] if content else []) and not (self._calls or self._scores):
            return ((data, chunk),)
        return (self._rewritten(data, chunk, pieces, last=ended),)

    def _rewritten(
        self, data: bytes, chunk: ChatChunk, pieces: Sequence[Piece], *, last: bool
    ) -> tuple[bytes, ChatChunk]:
        """Return the chunk with `pieces` in place of its text."""
        fields = _read_fields(data)
        choice = _read_choices(fields["choices"])[0]
        delta: dict[str, object] = dict(_read_fields(choice.get("delta", Raw(b"{}"))))
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        calls = [self._delta_of(piece) for piece in pieces if isinstance(piece, WrittenCall)]
        delta.pop("content", None)
        delta.pop("tool_calls", None)
        if text:
            delta["content"] = text
        if calls:
            delta["tool_calls"] = calls
        whole: dict[str, object] = {**choice, "delta": delta}
        if not last:
            whole["finish_reason"] = None
        elif self._calls and choice.get("finish_reason") == Raw(b'"stop"'):
            whole["finish_reason"] = "tool_calls"
        if "logprobs" in choice:
            whole["logprobs"] = self._scored(chunk, text=bool(text), calls=bool(calls))
        rewritten = msgspec.json.encode({**fields, "choices": [whole]})
        return rewritten, read_chunk(rewritten)

    def _delta_of(self, call: WrittenCall) -> dict[str, object]:
        self._calls += 1
        function = {"name": call.name, "arguments": call.arguments}
        return {
            "index": self._calls - 1,
            "id": new_call_id(),
            "type": "function",
            "function": function,
        }

    def _scored(self, chunk: ChatChunk, *, text: bool, calls: bool) -> object:
        """Return the log probabilities of what is given now; those of calls are dropped."""
        told = chunk.choices[0].logprobs or {}
        self._scores += told.get("content") or ()
        if calls:
            self._scores = []
        if not text or not self._scores:
            return None
        scores, self._scores = self._scores, []
        return {"content": scores}
