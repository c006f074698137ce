"""The plain answer: a whole `chat.completion`, made from the same event that ends a stream."""

import msgspec

from penstock.chat.events import Finished, Message, Metadata, Usage


class _Choice(msgspec.Struct, frozen=True):
    index: int
    message: Message
    logprobs: dict[str, list[msgspec.Raw]] | None
    finish_reason: str


class _Completion(msgspec.Struct, frozen=True):
    id: str
    object: str
    created: int
    model: str
    choices: tuple[_Choice, ...]
    usage: Usage | None
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


def completion(finished: Finished) -> bytes:
    """Return the JSON of the answer; `usage` is null where the engine did not report it all."""
    identity = finished.identity
    choice = _Choice(
        index=0,
        message=finished.message,
        logprobs=finished.logprobs,
        finish_reason=finished.finish_reason,
    )
    answer = _Completion(
        id=identity.id,
        object="chat.completion",
        created=identity.created,
        model=identity.model,
        choices=(choice,),
        usage=finished.usage if finished.usage_complete else None,
        metadata=finished.metadata or msgspec.UNSET,
    )
    return msgspec.json.encode(answer)
