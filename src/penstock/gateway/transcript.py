"""What a client was sent, byte for byte, read back: the answer in plain form.

The cache and the audit keep what went over the wire and read it afterwards, off the hot path.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from penstock.chat.sse import Splitter
from penstock.engines.conduit.framing import ChunkReader
from penstock.ground.errors import EngineDied

_DELTA_LISTS = ("content", "refusal", "tokens", "token_logprobs", "top_logprobs", "text_offset")


class Sent(NamedTuple):
    """One response: its status, whether it was a stream, and its body without framing."""

    status: int
    streamed: bool
    body: bytes


def read_response(wire: bytes) -> Sent:
    """Take a response that this gateway wrote out of its HTTP; it may be cut at its end."""
    head, _, rest = wire.partition(b"\r\n\r\n")
    status = head[9:12]
    if b"\r\ntransfer-encoding: chunked" in head:
        pieces = ChunkReader(framed_runs=False).feed(rest)
        rest = b"".join(piece for _, piece in pieces)
    streamed = b"\r\ncontent-type: text/event-stream" in head
    return Sent(int(status) if status.isdigit() else 0, streamed, rest)


def events_in(body: bytes) -> list[bytes]:
    """Return the data of every whole event of a stream."""
    try:
        return Splitter().feed(body)
    except EngineDied:
        return []


def assemble(events: Iterable[bytes]) -> dict[str, Any] | None:
    """Return the plain answer that a stream's events amount to; none if there is no chunk in it.

    An answer that broke off is returned as far as it came.
    """
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for data in events:
        for name, value in _fields_of(data).items():
            if name == "choices":
                for choice in value or ():
                    _add(choices.setdefault(choice.get("index", 0), {}), choice)
            elif name == "usage":
                whole["usage"] = value or whole.get("usage")
            else:
                whole.setdefault(name, value)
    if not whole:
        return None
    whole["object"] = str(whole.get("object", "")).removesuffix(".chunk")
    whole["choices"] = [_finished(choices[index]) for index in sorted(choices)]
    if whole.get("usage") is None:
        whole.pop("usage", None)
    return whole


def _fields_of(data: bytes) -> dict[str, Any]:
    if data == b"[DONE]":
        return {}
    try:
        chunk = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return {}
    return chunk if isinstance(chunk, dict) else {}


def _add(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    for name, value in piece.items():
        if name == "delta":
            _add_delta(choice.setdefault("message", {"role": "assistant", "content": None}), value)
        elif name == "text":
            choice["text"] = choice.get("text", "") + (value or "")
        elif name == "logprobs" and value:
            _add_lists(choice, value)
        elif value is not None or name not in choice:
            choice[name] = value


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if value is None:
            continue
        if name == "tool_calls":
            for call in value:
                _add_call(message.setdefault("tool_calls", {}), call)
        elif name != "role" and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        else:
            message[name] = value


def _add_call(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    call = calls.setdefault(piece.get("index", 0), {"type": "function", "function": {}})
    call["id"] = call.get("id") or piece.get("id")
    function, more = call["function"], piece.get("function") or {}
    function["name"] = function.get("name") or more.get("name")
    function["arguments"] = function.get("arguments", "") + (more.get("arguments") or "")


def _add_lists(choice: dict[str, Any], more: dict[str, Any]) -> None:
    logprobs = choice.get("logprobs") or {}
    for name, entries in more.items():
        if name in _DELTA_LISTS and isinstance(entries, list):
            logprobs[name] = [*(logprobs.get(name) or ()), *entries]
        else:
            logprobs.setdefault(name, entries)
    choice["logprobs"] = logprobs


def _finished(choice: dict[str, Any]) -> dict[str, Any]:
    message = choice.get("message")
    if message is not None and isinstance(message.get("tool_calls"), dict):
        calls = message["tool_calls"]
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
        message["content"] = message["content"] or None
    return choice
