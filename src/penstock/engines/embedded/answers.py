"""Writes answers as vLLM's OpenAI server does: whole, or as server-sent events.

Most of an event is the same for a whole answer, so it is encoded once; a token then costs the
encoding of its own text. What an `Answer` is fed comes from the engine, one delta a token.
"""

import time
import uuid
from abc import ABC, abstractmethod
from typing import Any

import msgspec

from penstock.engines.embedded.hermes import CallArguments, CallStart, Content, HermesParser
from penstock.engines.embedded.protocol import StreamOptions
from penstock.engines.embedded.sampler import Logprob
from penstock.engines.embedded.sequence import Delta, Finish
from penstock.engines.embedded.tokenizer import Tokenizer

DONE = b"data: [DONE]\n\n"
LOWEST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON cannot write."""

encode = msgspec.json.Encoder().encode


class Choice:
    """One choice as far as it has come."""

    def __init__(self, *, parse_tools: bool = False) -> None:
        self.parser = HermesParser() if parse_tools else None
        self.texts: list[str] = []
        self.logprobs: list[Logprob] = []
        self.tokens = 0
        self.offset = 0
        self.end: Delta | None = None

    def take(self, delta: Delta) -> None:
        """Count a delta and keep its log-probability until it is written."""
        self.tokens += delta.tokens
        self.texts.append(delta.text)
        if delta.logprob is not None:
            self.logprobs.append(delta.logprob)
        if delta.finish:
            self.end = delta


class Answer(ABC):
    """What both forms of answers share. `prompt_tokens` counts each prompt once."""

    prefix, whole_object, chunk_object = "", "", ""

    def __init__(
        self,
        model: str,
        tokenizer: Tokenizer,
        *,
        choices: list[Choice],
        prompt_tokens: int,
        options: StreamOptions | None,
    ) -> None:
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"
        self.choices = choices
        self._tokenizer, self._prompt_tokens = tokenizer, prompt_tokens
        self._options = options or StreamOptions()
        self._head = {"id": self.id, "created": int(time.time()), "model": model}
        self._opening = b"data: " + encode(self._fields(self.chunk_object))[:-1]

    def opening(self) -> bytes:
        """Return the events before the first token."""
        return b""

    def event(self, index: int, delta: Delta) -> bytes:
        """Return the events that a delta of one choice causes, often none or one."""
        choice = self.choices[index]
        choice.take(delta)
        body = self._body(choice, delta)
        if body is None and not choice.logprobs and not delta.finish:
            return b""
        logprobs = encode(self._take_logprobs(choice)) if choice.logprobs else b"null"
        finish = b"null"
        if delta.finish:
            finish = b'"%b","stop_reason":%b' % (
                self._finish(choice, delta.finish).encode(),
                encode(delta.stop_reason),
            )
        return b'%b,"choices":[{"index":%d,%b,"logprobs":%b,"finish_reason":%b}]%b}\n\n' % (
            self._opening,
            index,
            body if body is not None else self._empty(),
            logprobs,
            finish,
            self._running_usage(choice),
        )

    def closing(self) -> bytes:
        """Return the events after the last token."""
        if not self._options.include_usage:
            return DONE
        return b'%b,"choices":[],"usage":%b}\n\n%b' % (self._opening, encode(self.usage()), DONE)

    def whole(self) -> bytes:
        """Return the body of an answer that is not streamed."""
        choices = [self._whole_choice(index) for index in range(len(self.choices))]
        return encode(
            {**self._fields(self.whole_object), "choices": choices, "usage": self.usage()}
        )

    def usage(self) -> dict[str, int]:
        """Return the token counts so far."""
        made = sum(choice.tokens for choice in self.choices)
        return {
            "prompt_tokens": self._prompt_tokens,
            "total_tokens": self._prompt_tokens + made,
            "completion_tokens": made,
        }

    def _fields(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, **self._head}

    def _running_usage(self, choice: Choice) -> bytes:
        if not self._options.continuous_usage_stats:
            return b""
        return b',"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}' % (
            self._prompt_tokens,
            self._prompt_tokens + choice.tokens,
            choice.tokens,
        )

    def _whole_choice(self, index: int) -> dict[str, Any]:
        choice = self.choices[index]
        end = choice.end or Delta("", finish=Finish.ERROR)
        content = self._whole_content(choice)
        return {
            "index": index,
            **content,
            "logprobs": self._take_logprobs(choice) if choice.logprobs else None,
            "finish_reason": self._finish(choice, end.finish or Finish.ERROR),
            "stop_reason": end.stop_reason,
        }

    def _finish(self, choice: Choice, finish: Finish) -> str:
        called = choice.parser is not None and choice.parser.calls > 0
        return "tool_calls" if called and finish is Finish.STOP else finish

    @abstractmethod
    def _body(self, choice: Choice, delta: Delta) -> bytes | None:
        """Return the JSON member that holds a delta, none when it adds nothing."""

    @abstractmethod
    def _empty(self) -> bytes:
        """Return the JSON member of a delta that adds nothing."""

    @abstractmethod
    def _whole_content(self, choice: Choice) -> dict[str, Any]:
        """Return the members of a finished choice that hold its text."""

    @abstractmethod
    def _take_logprobs(self, choice: Choice) -> dict[str, Any]:
        """Return the log-probabilities not written yet, and forget them."""


class CompletionAnswer(Answer):
    """`/v1/completions`."""

    prefix, whole_object, chunk_object = "cmpl", "text_completion", "text_completion"

    def _body(self, choice: Choice, delta: Delta) -> bytes | None:
        return b'"text":%b' % encode(delta.text) if delta.text else None

    def _empty(self) -> bytes:
        return b'"text":""'

    def _whole_content(self, choice: Choice) -> dict[str, Any]:
        return {"text": "".join(choice.texts)}

    def _take_logprobs(self, choice: Choice) -> dict[str, Any]:
        entries, choice.logprobs = choice.logprobs, []
        tokens = [self._tokenizer.piece(entry.token) for entry in entries]
        offsets = []
        for token in tokens:
            offsets.append(choice.offset)
            choice.offset += len(token)
        return {
            "text_offset": offsets,
            "token_logprobs": [max(entry.value, LOWEST_LOGPROB) for entry in entries],
            "tokens": tokens,
            "top_logprobs": [
                {
                    self._tokenizer.piece(token): max(value, LOWEST_LOGPROB)
                    for token, value in [(entry.token, entry.value), *entry.top]
                }
                for entry in entries
            ],
        }


class ChatAnswer(Answer):
    """`/v1/chat/completions`; `parallel` is false when only the first call may be reported."""

    prefix, whole_object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"
    parallel = True

    def opening(self) -> bytes:
        """Return one event a choice that says who speaks."""
        return b"".join(
            b'%b,"choices":[{"index":%d,"delta":{"role":"assistant","content":""},'
            b'"logprobs":null,"finish_reason":null}]%b}\n\n'
            % (self._opening, index, self._running_usage(choice))
            for index, choice in enumerate(self.choices)
        )

    def _body(self, choice: Choice, delta: Delta) -> bytes | None:
        if choice.parser is None:
            return b'"delta":{"content":%b}' % encode(delta.text) if delta.text else None
        fields = self._parse(choice.parser, delta.text, last=delta.finish is not None)
        return b'"delta":%b' % encode(fields) if fields else None

    def _empty(self) -> bytes:
        return b'"delta":{}'

    def _parse(self, parser: HermesParser, text: str, *, last: bool) -> dict[str, Any]:
        """Return the delta that a piece of text adds: content, calls, or nothing."""
        content, calls = "", dict[int, dict[str, Any]]()
        for event in parser.push(text) + (parser.flush() if last else []):
            match event:
                case Content(piece):
                    content += piece
                case CallStart(index, name) if self.parallel or index == 0:
                    calls[index] = {
                        "index": index,
                        "id": f"chatcmpl-tool-{uuid.uuid4().hex}",
                        "type": "function",
                        "function": {"name": name, "arguments": ""},
                    }
                case CallArguments(index, piece) if self.parallel or index == 0:
                    call = calls.setdefault(index, {"index": index, "function": {"arguments": ""}})
                    call["function"]["arguments"] += piece
        fields: dict[str, Any] = {"content": content} if content else {}
        return fields | ({"tool_calls": list(calls.values())} if calls else {})

    def _whole_content(self, choice: Choice) -> dict[str, Any]:
        text = "".join(choice.texts)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if choice.parser is not None:
            fields = self._parse(choice.parser, text, last=True)
            calls = fields.get("tool_calls", [])
            message["content"] = fields.get("content", None if calls else "")
            if calls:
                message["tool_calls"] = [
                    {key: value for key, value in call.items() if key != "index"} for call in calls
                ]
        return {"message": message}

    def _take_logprobs(self, choice: Choice) -> dict[str, Any]:
        entries, choice.logprobs = choice.logprobs, []
        return {
            "content": [
                {
                    **self._entry(entry.token, entry.value),
                    "top_logprobs": [self._entry(token, value) for token, value in entry.top],
                }
                for entry in entries
            ]
        }

    def _entry(self, token: int, value: float) -> dict[str, Any]:
        text = self._tokenizer.piece(token)
        return {
            "token": text,
            "logprob": max(value, LOWEST_LOGPROB),
            "bytes": list(text.encode()),
        }
