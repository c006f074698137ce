"""Answers of an engine as bytes: heads, chunk framing, chat chunks."""

import json
from collections.abc import Iterable, Sequence

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
LAST = b"0\r\n\r\n"


def chunk(payload: bytes) -> bytes:
    """`payload` as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def event(data: object) -> bytes:
    """A server-sent event; bytes stand for themselves."""
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return b"data: " + text + b"\n\n"


def delta(content: str | None = None, **more: object) -> bytes:
    """A `chat.completion.chunk` event."""
    fields: dict[str, object] = {"content": content} if content is not None else {}
    finish = more.pop("finish_reason", None)
    fields.update(more)
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return event(_envelope([choice]))


def usage_event(usage: object = USAGE) -> bytes:
    """The event that carries the usage, without choices."""
    return event(_envelope([]) | {"usage": usage})


DONE = event(b"[DONE]")


def _envelope(choices: list[object]) -> dict[str, object]:
    kind = "chat.completion.chunk"
    return {"id": "chat-1", "object": kind, "created": 1, "model": "scripted", "choices": choices}


def chat_events(words: Iterable[str], *, usage: bool = True) -> list[bytes]:
    """The events of a whole streamed answer."""
    return [
        delta("", role="assistant"),
        *(delta(word) for word in words),
        delta(finish_reason="stop"),
        *([usage_event()] if usage else []),
        DONE,
    ]


def call_events(*calls: tuple[str, str, str]) -> list[bytes]:
    """The events of an answer that calls tools: `(id, name, arguments)` each."""
    pieces = []
    for index, (call_id, name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        begin = {"name": name, "arguments": arguments[:half]}
        opened = {"index": index, "id": call_id, "type": "function", "function": begin}
        pieces.append(delta(tool_calls=[opened]))
        rest = {"index": index, "function": {"arguments": arguments[half:]}}
        pieces.append(delta(tool_calls=[rest]))
    end = delta(finish_reason="tool_calls")
    return [delta(role="assistant", content=None), *pieces, end, usage_event(), DONE]


def streamed(events: Sequence[bytes]) -> list[bytes]:
    """A whole response, one event a chunk, one write each."""
    return [STREAM_HEAD, *(chunk(each) for each in events), LAST]


def plain(body: object, status: str = "200 OK", headers: bytes = b"") -> list[bytes]:
    """A JSON response."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n".encode() + headers
    return [head + b"content-length: %d\r\n\r\n" % len(data) + data]


def completion(text: str = "Hello", usage: object = USAGE) -> dict[str, object]:
    """A `chat.completion`."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    envelope = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": "scripted"}
    return {**envelope, "choices": [choice], "usage": usage}
