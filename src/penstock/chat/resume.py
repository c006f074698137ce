"""A conversation as the client has it, turned back into the one the model has had.

An answer that handed calls back is replaced by the messages its continuation holds. The client's
own results keep their places; answers to approvals are read, and become the results of the calls
once these were run. Only the last messages of a conversation can approve anything: what was
answered further up was answered in an earlier request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import Raw

from penstock.chat.continuation import (
    MARK_BYTES,
    Approval,
    Continuations,
    Hidden,
    Pending,
    split_id,
)
from penstock.ground.errors import RequestError

_BYGONE = '{"status": "this was decided; the answer that follows tells the outcome"}'
_REFUSED = "the user did not approve this call"


class _Call(msgspec.Struct):
    id: str = ""


class _Message(msgspec.Struct):
    role: str = ""
    tool_call_id: str | None = None
    content: object = None
    tool_calls: list[_Call] | None = None


class _Answer(msgspec.Struct):
    approved: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the client said to one call; `place` is where its result goes in the messages."""

    place: int
    call: Pending
    approved: bool
    reason: str = ""

    @property
    def refusal(self) -> str:
        """What the model is told if the call was not approved."""
        return f"{_REFUSED}: {self.reason}" if self.reason else _REFUSED


@dataclass(slots=True)
class Resumption:
    """The model's view of the conversation, and the decisions that are to be carried out."""

    messages: list[Raw]
    approval: Approval | None = None
    decisions: list[Decision] = field(default_factory=list)

    def settle(self, decision: Decision, result: str) -> None:
        """Put the result of a decided call into its place."""
        self.messages[decision.place] = tool_message(decision.call.id, result)


def tool_message(call_id: str, content: object) -> Raw:
    """Return the JSON of a tool message."""
    told = {"role": "tool", "tool_call_id": call_id, "content": content}
    return Raw(msgspec.json.encode(told))


def is_resumed(messages: Sequence[Raw]) -> bool:
    """Whether anything in `messages` may be a continuation."""
    return any(MARK_BYTES in bytes(message) for message in messages)


def restore(messages: Sequence[Raw], continuations: Continuations) -> Resumption:
    """Return `messages` with every continuation in them opened.

    Raises:
        RequestError: a continuation cannot be read, or an approval is asked for and not answered.
    """
    reader = _Reader(continuations)
    for raw in messages:
        reader.take(raw)
    return reader.finish()


class _Reader:
    def __init__(self, continuations: Continuations) -> None:
        self._continuations = continuations
        self._out: list[Raw] = []
        self._approval: Approval | None = None  # of the last answer, while only results follow
        self._answers: dict[str, tuple[int, object]] = {}
        self._settled: dict[str, str] = {}
        self._bygone: dict[str, tuple[int, str]] = {}

    def take(self, raw: Raw) -> None:
        if MARK_BYTES not in bytes(raw) and self._approval is None:
            self._out.append(raw)
            return
        message = _read(raw)
        if message.role == "tool":
            self._take_result(message, raw)
            return
        self._close()
        hidden = self._hidden(message)
        if hidden is None:
            self._out.append(raw)
            return
        self._out.extend(hidden.messages)
        self._approval = hidden.approval
        self._settled |= hidden.settled

    def _hidden(self, message: _Message) -> Hidden | None:
        for call in message.tool_calls or ():
            if token := split_id(call.id)[1]:
                return self._continuations.open(token)
        return None

    def _take_result(self, message: _Message, raw: Raw) -> None:
        shown = message.tool_call_id or ""
        call_id, _ = split_id(shown)
        waiting = self._approval.calls if self._approval else ()
        if call_id != shown and any(call.id == call_id for call in waiting):
            if call_id in self._answers:
                raise _incomplete(f"{call_id} is answered twice")
            self._answers[call_id] = (len(self._out), message.content)
            self._out.append(tool_message(call_id, _BYGONE))
        else:
            self._out.append(raw if call_id == shown else tool_message(call_id, message.content))

    def _close(self) -> None:
        """What was answered so far was answered in an earlier request."""
        if self._approval is not None:
            for call_id, (place, _) in self._answers.items():
                self._bygone[f"{self._approval.nonce}.{call_id}"] = (place, call_id)
        self._approval, self._answers = None, {}

    def finish(self) -> Resumption:
        for key, (place, call_id) in self._bygone.items():
            if key in self._settled:
                self._out[place] = tool_message(call_id, self._settled[key])
        resumption = Resumption(self._out, self._approval)
        for call in self._approval.calls if self._approval else ():
            if call.id not in self._answers:
                raise _incomplete(f"{call.name} ({call.id}) waits for approval")
            place, content = self._answers[call.id]
            resumption.decisions.append(_decision(place, call, content))
        return resumption


def _read(raw: Raw) -> _Message:
    try:
        return msgspec.json.decode(raw, type=_Message)
    except msgspec.ValidationError as error:
        raise RequestError(
            "a message is no chat message", why=str(error), param="messages", code="invalid_type"
        ) from error


def _decision(place: int, call: Pending, content: object) -> Decision:
    """Read an answer; whatever is not plainly a yes is a no."""
    text = _text(content)
    try:
        answer = msgspec.json.decode(text, type=_Answer)
    except (msgspec.DecodeError, UnicodeError):
        return Decision(place, call, approved=False, reason=text[:500])
    return Decision(place, call, answer.approved, answer.reason[:500])


def _text(content: object) -> str:
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _incomplete(why: str) -> RequestError:
    return RequestError(
        "every call that waits for approval needs one answer",
        why=why,
        fix='Answer it with a tool message: {"approved": true} or {"approved": false}.',
        param="messages",
        code="approval_missing",
    )
