"""A plain answer as a stream: the same content in a few events, as the engine would have sent."""

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.chat.sse import DONE, frame

_ENVELOPE = ("id", "created", "model", "system_fingerprint")


def stream_of(body: bytes, *, with_usage: bool) -> bytes:
    """Return the events of a stream that says what the plain answer `body` says."""
    answer = msgspec.json.decode(body)
    is_chat = answer.get("object") == "chat.completion"
    envelope = {name: answer[name] for name in _ENVELOPE if answer.get(name) is not None}
    envelope["object"] = "chat.completion.chunk" if is_chat else "text_completion"
    pieces = _chat_pieces if is_chat else _text_pieces
    events = [
        frame(msgspec.json.encode({**envelope, "choices": [piece]}))
        for choice in answer["choices"]
        for piece in pieces(choice)
    ]
    if with_usage:
        end = {**envelope, "choices": [], "usage": answer.get("usage")}
        events.append(frame(msgspec.json.encode(end)))
    return b"".join(events) + DONE


def _chat_pieces(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    index, message = choice.get("index", 0), choice["message"]
    first = {"role": message.get("role", "assistant"), "content": ""}
    yield {"index": index, "delta": first, "logprobs": None, "finish_reason": None}
    delta = {
        name: value
        for name, value in message.items()
        if name != "role" and value not in (None, [])
    }
    if "tool_calls" in delta:
        delta["tool_calls"] = [
            {"index": number, **call} for number, call in enumerate(delta["tool_calls"])
        ]
    if delta:
        logprobs = choice.get("logprobs")
        yield {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
    end = {"index": index, "delta": {}, "logprobs": None}
    yield {**end, **_ends(choice)}


def _text_pieces(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    index = choice.get("index", 0)
    text, logprobs = choice.get("text", ""), choice.get("logprobs")
    yield {"index": index, "text": text, "logprobs": logprobs, **_ends(choice)}


def _ends(choice: dict[str, Any]) -> dict[str, Any]:
    names = ("finish_reason", "stop_reason")
    return {name: choice[name] for name in names if name in choice}
