"""What a turn tells while it runs, in order; plain and streamed answers are both made from it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

Outcome = Literal["ok", "error", "timeout", "invalid", "bad_arguments", "unknown", "denied"]
"""How a tool call ended: it answered; it failed; its time was up; its arguments did not fit, and
the model may mend them; they did not fit again; no tool has that name (then the name is the
model's invention: unfit for a metric label); the user did not approve it."""

Bound = Literal["rounds", "time"]
"""Which bound ended the tool rounds of a turn."""


class Chunk(msgspec.Struct, frozen=True):
    """So many whole server-sent events, framed and ready for a streaming client."""

    data: bytes
    events: int = 1


class ToolStarted(msgspec.Struct, frozen=True):
    """The model asked for a call; its work begins."""

    name: str
    call_id: str


class ToolProgress(msgspec.Struct, frozen=True):
    """A running call tells how far it is; `total` and `message` if it knows them."""

    name: str
    call_id: str
    progress: float
    total: float | None = None
    message: str | None = None


class ToolFinished(msgspec.Struct, frozen=True):
    """A call ended after `seconds`; `result` is the text the model is shown.

    `content` is the same in MCP's parts, if the tool has given such and they are not too large.
    """

    name: str
    call_id: str
    outcome: Outcome
    seconds: float
    result: str
    content: tuple[Mapping[str, object], ...] = ()


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens, as OpenAI counts them; the details are counters by name."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int] | None = None
    completion_tokens_details: dict[str, int] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The three counts by name."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }


class Function(msgspec.Struct, frozen=True):
    """What a call calls; `arguments` is JSON as the model wrote it."""

    name: str
    arguments: str


class HandedBack(msgspec.Struct, frozen=True):
    """A call the client gets: of a tool of its own, or one that waits for approval."""

    id: str
    function: Function
    type: str = "function"


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """The assistant's answer: the text of all rounds, joined in order, and calls handed back."""

    role: str
    content: str | None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[HandedBack, ...] | None = None


class Asked(msgspec.Struct, frozen=True):
    """A call that waits for approval until `expires_at` (Unix seconds)."""

    tool_call_id: str
    name: str
    arguments: str
    expires_at: int


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer tells the client of its tools: `metadata` beside OpenAI's own fields."""

    tool_rounds: int
    bound: Bound | None = None
    approvals: tuple[Asked, ...] = ()


class Finished(msgspec.Struct, frozen=True):
    """The turn is complete; nothing follows.

    `usage` sums all rounds; it is exact only if `usage_complete`, that is if the engine reported
    every round. `tool_rounds` counts rounds of calls, and `bound` says which limit made the model
    answer without tools, if one did. `id`, `created` (Unix seconds) and `model` are the first
    round's and those of every chunk. `tells_tools` says that the client is told of them even if
    there were none; `repaired`, that the model's first answer was not what `response_format` asks.
    """

    id: str
    created: int
    model: str
    message: Message
    finish_reason: str
    usage: Usage
    usage_complete: bool
    tool_rounds: int
    bound: Bound | None = None
    logprobs: dict[str, list[msgspec.Raw]] | None = None
    approvals: tuple[Asked, ...] = ()
    tells_tools: bool = True
    repaired: bool = False

    @property
    def metadata(self) -> Metadata:
        """What the answer tells the client of its tools."""
        return Metadata(self.tool_rounds, self.bound, self.approvals)

    @property
    def extras(self) -> dict[str, object]:
        """What the answer tells the client beside OpenAI's own fields."""
        extras: dict[str, object] = {"repaired": True} if self.repaired else {}
        if self.tells_tools or self.tool_rounds:
            extras["metadata"] = self.metadata
        return extras


Step = ToolStarted | ToolProgress | ToolFinished
"""What a round of calls tells."""

Event = Chunk | Step | Finished
