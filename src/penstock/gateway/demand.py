"""How much a request may use at the very most, before it is asked: what a budget reserves.

A token is at least one byte of text, so the bytes of the body bound the prompt; what the chat
template adds on its own is allowed for. Where bytes are no bound (pictures by address, templates
brought by the client), the model's context is. Pictures and the like are parts of a list, so a
chat whose messages hold strings alone needs no closer look, however long it is. An answer is
bounded by `max_tokens`, else by the context.
"""

from typing import Final

import msgspec
from msgspec import UNSET, Raw

from penstock.gateway.caller import Caller
from penstock.gateway.fields import ChatRequest, CompletionRequest
from penstock.gateway.parts import are_texts
from penstock.ground.errors import RequestError

_TEMPLATE_TOKENS: Final = 512
"""What chat templates add by themselves: default system prompts, dates, marks of roles."""
_UNSET: Final = UNSET
UNKNOWN: Final = 1 << 60
"""Tokens, where nothing bounds them; compiled, larger numbers are slow."""

Asked = ChatRequest | CompletionRequest


class Demand:
    """Tokens: the most a prompt can have, its bytes, the most an answer can have, and the answer
    tokens that were asked for (none: as many as it takes)."""

    __slots__ = ("asked", "body_bytes", "completion", "prompt")

    def __init__(self, prompt: int, body_bytes: int, completion: int, asked: int | None) -> None:
        self.prompt, self.body_bytes = prompt, body_bytes
        self.completion, self.asked = completion, asked

    @property
    def is_bounded(self) -> bool:
        """Whether the worst case is known."""
        return self.prompt < UNKNOWN and self.completion < UNKNOWN


def demand_of(
    request: Asked, body: bytes, context: int | None, *, budgeted: bool = True
) -> Demand:
    """Return the worst case of a request; `context` is the model's, none where it is unknown.

    Without a budget (`budgeted` false) nobody asks for the worst case, and finding it costs a look
    at every byte: only what limits need is told.

    Raises:
        RequestError: a number in it is out of range.
    """
    most = context or UNKNOWN
    asked, answers = request.max_tokens, 1 if request.n is None else _at_least_one("n", request.n)
    prompts, size = 1, len(body)
    chat: ChatRequest | None = None
    if isinstance(request, ChatRequest):
        chat = request
        longer = request.max_completion_tokens
        if longer is not None or asked is not None:
            asked = max(asked or 0, longer or 0) or None
    else:
        prompts = _prompts_in(request.prompt)
        answers = max(answers, _number(request.best_of))
        asked = None if asked is None else max(0, asked)
    if not budgeted:
        return Demand(UNKNOWN, size, UNKNOWN, asked)
    # Comparisons, for `min` takes five times as long.
    prompt = most * prompts
    if size + _TEMPLATE_TOKENS < prompt and (chat is None or _is_plain(chat, body)):
        prompt = size + _TEMPLATE_TOKENS
    total = (most if asked is None or asked > most else asked) * answers * prompts
    return Demand(
        prompt if prompt < UNKNOWN else UNKNOWN,
        size,
        total if total < UNKNOWN else UNKNOWN,
        asked,
    )


def _is_plain(request: ChatRequest, body: bytes) -> bool:
    """Whether the bytes of a chat bound its prompt; other prompts are text, or tokens' numbers."""
    if (
        request.chat_template is not _UNSET
        or request.chat_template_kwargs is not _UNSET
        or request.documents is not _UNSET
        or request.mm_processor_kwargs is not _UNSET
    ):
        return False
    if body.count(b"[") < 2:
        return True  # that of the messages themselves
    messages = bytes(request.messages)
    return messages.find(b"[", 1) < 0 or are_texts(messages)


def round_of(body: bytes, context: int | None, first: Demand) -> Demand:
    """Return the worst case of a later round of a turn whose first one was `first`."""
    most = context or UNKNOWN
    prompt = min(len(body) + _TEMPLATE_TOKENS, most) if first.prompt < most else most
    return Demand(prompt, len(body), first.completion, first.asked)


def bounded(caller: Caller, request: Asked, body: bytes) -> bytes:
    """Return the body with the caller's bound on an answer's length in it, if there is one.

    Raises:
        RequestError: more was asked for.
    """
    most = caller.max_tokens
    if most is None:
        return body
    longer = request.max_completion_tokens if isinstance(request, ChatRequest) else None
    for name, asked in (("max_tokens", request.max_tokens), ("max_completion_tokens", longer)):
        if asked is not None and asked > most:
            raise RequestError(
                f"`{name}` is too large",
                why=f"this key may ask for {most} tokens a request",
                param=name,
                code="invalid_value",
            )
    if request.max_tokens is None and longer is None:
        request.max_tokens = most
        return body.rstrip()[:-1] + b',"max_tokens":%d}' % most
    return body


def _at_least_one(name: str, value: int | None) -> int:
    if value is not None and value < 1:
        raise RequestError(
            f"`{name}` is wrong", why="it must be 1 or more", param=name, code="invalid_value"
        )
    return value or 1


def _number(raw: object) -> int:
    try:
        return int(bytes(raw)) if isinstance(raw, Raw) else 1
    except ValueError:
        return 1


def _prompts_in(raw: Raw) -> int:
    """Return how many prompts a completion request has: a list of token numbers is one."""
    if not bytes(raw).startswith(b"["):
        return 1
    try:
        prompts = msgspec.json.decode(raw, type=list[Raw])
    except msgspec.DecodeError:
        return 1
    many = bool(prompts) and bytes(prompts[0]).startswith((b'"', b"[", b"{"))
    return len(prompts) if many else 1
