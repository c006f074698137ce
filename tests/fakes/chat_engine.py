"""A scripted engine: each request gets the next answer, as chunks in vLLM's form."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from penstock.chat.streams import Pieces
from penstock.ground.errors import EngineDied

Json = dict[str, Any]


def call(name: str, arguments: str, call_id: str = "call_0", index: int = 0) -> Json:
    """One whole tool call, as it stands in a delta."""
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": call_id, "type": "function", "function": function}


def answer(
    texts: Sequence[str] = (),
    calls: Sequence[Json] = (),
    finish: str | None = None,
    usage: tuple[int, int] | None = (10, 5),
    *,
    answer_id: str = "chatcmpl-1",
    argument_pieces: int = 3,
) -> list[Json]:
    """The chunks of one answer: role, texts, calls in pieces, end, usage."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text} for text in texts]
    for whole in calls:
        arguments = whole["function"]["arguments"]
        head = whole["function"] | {"arguments": ""}
        deltas.append({"tool_calls": [whole | {"function": head}]})
        size = max(1, -(-len(arguments) // argument_pieces))
        for start in range(0, len(arguments), size):
            piece = {"arguments": arguments[start : start + size]}
            deltas.append({"tool_calls": [{"index": whole["index"], "function": piece}]})
    end = finish or ("tool_calls" if calls else "stop")
    choices: list[Json] = [{"index": 0, "delta": d, "finish_reason": None} for d in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": end, "stop_reason": None})
    head = {"id": answer_id, "object": "chat.completion.chunk", "created": 7, "model": "m"}
    chunks = [head | {"choices": [choice]} for choice in choices]
    if usage:
        prompt, output = usage
        counted = {"prompt_tokens": prompt, "completion_tokens": output}
        total = {"total_tokens": prompt + output}
        details = {"prompt_tokens_details": {"cached_tokens": prompt // 2}}
        chunks.append(head | {"choices": [], "usage": counted | total | details})
    return chunks


def sse(chunks: Sequence[Json], *, done: bool = True) -> bytes:
    """Chunks as the engine's bytes."""
    text = "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks)
    return (text + ("data: [DONE]\n\n" if done else "")).encode()


Piece = bytes | Exception | asyncio.Event


class ScriptedEngine:
    """Answers each request with the next script: bytes, an error to raise, an event to wait for.

    `bodies` keeps what was asked; `open_streams` counts those begun and not yet closed, and
    `read_to_end` those whose last byte was followed by the end.
    """

    def __init__(self, *scripts: Sequence[Piece]) -> None:
        self._scripts = list(scripts)
        self.bodies: list[Json] = []
        self.open_streams = 0
        self.read_to_end = 0

    def stream(self, body: bytes) -> Pieces:
        """Ask; see `Engine`."""
        self.bodies.append(json.loads(body))
        return Pieces(self._play(self._scripts.pop(0)))

    async def _play(self, script: Sequence[Piece]) -> AsyncGenerator[bytes, None]:
        self.open_streams += 1
        try:
            for piece in script:
                if isinstance(piece, Exception):
                    raise piece
                if isinstance(piece, asyncio.Event):
                    await piece.wait()
                else:
                    yield piece
            self.read_to_end += 1
        finally:
            self.open_streams -= 1


def dies() -> EngineDied:
    """The error of an engine that went away."""
    return EngineDied("the engine closed the connection")
