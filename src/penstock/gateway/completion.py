"""The outside of a finished turn: OpenAI's `chat.completion`, and what a stream says of tools."""

import msgspec

from penstock.chat.events import (
    Finished,
    Message,
    Step,
    ToolFinished,
    ToolProgress,
    Usage,
)


class _Choice(msgspec.Struct, frozen=True):
    message: Message
    finish_reason: str
    index: int = 0
    logprobs: dict[str, list[msgspec.Raw]] | None = None


class _Completion(msgspec.Struct, frozen=True):
    id: str
    created: int
    model: str
    choices: tuple[_Choice]
    usage: Usage
    object: str = "chat.completion"


class _ToolNote(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    call_id: str
    status: str
    seconds: float = 0.0
    progress: float | None = None
    total: float | None = None
    message: str | None = None


def completion_of(finished: Finished) -> bytes:
    """Return the JSON of a plain answer; `metadata.tool_rounds` counts the rounds of calls."""
    choice = _Choice(finished.message, finished.finish_reason, logprobs=finished.logprobs)
    completion = _Completion(
        id=finished.id,
        created=finished.created,
        model=finished.model,
        choices=(choice,),
        usage=finished.usage,
    )
    return msgspec.json.encode({**msgspec.structs.asdict(completion), **finished.extras})


def tool_comment(event: Step) -> bytes:
    """Return an SSE comment that tells of a tool call.

    A comment, because OpenAI's SDKs take every `data:` for a chunk, whatever its event is named.
    """
    match event:
        case ToolFinished():
            note = _ToolNote(event.name, event.call_id, event.outcome, round(event.seconds, 3))
        case ToolProgress():
            far = (event.progress, event.total, event.message)
            note = _ToolNote(event.name, event.call_id, "progress", 0.0, *far)
        case _:
            note = _ToolNote(event.name, event.call_id, "started")
    return b": penstock.tool " + msgspec.json.encode(note) + b"\n\n"
