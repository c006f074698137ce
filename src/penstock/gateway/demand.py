"""How much a request may use at the very most, before it is asked: what a budget reserves.

A token is at least one byte of text, so the bytes of the body bound the prompt; what the chat
template adds on its own is allowed for. Where bytes are no bound (pictures by address, templates
brought by the client), the model's context is. An answer is bounded by `max_tokens`, else by the
context.
"""

import re

import msgspec

from penstock.gateway.caller import Caller
from penstock.gateway.fields import ChatRequest, CompletionRequest
from penstock.ground.errors import RequestError

_TEMPLATE_TOKENS = 512
"""What chat templates add by themselves: default system prompts, dates, marks of roles."""
_UNBOUNDED = re.compile(
    rb'"(?:image|video|audio)_url"|"input_audio"|"chat_template|"documents"|"mm_processor_kwargs"'
    rb'|"file"|\\u00[2-7]'  # the last: these words written in escapes
)
_UNKNOWN = 1 << 62

Asked = ChatRequest | CompletionRequest


class Demand(msgspec.Struct, frozen=True, gc=False):
    """Tokens: the most a prompt can have, its bytes, the most an answer can have, and the answer
    tokens that were asked for (none: as many as it takes)."""

    prompt: int
    body_bytes: int
    completion: int
    asked: int | None

    @property
    def is_bounded(self) -> bool:
        """Whether the worst case is known."""
        return self.prompt < _UNKNOWN and self.completion < _UNKNOWN


def demand_of(
    request: Asked, body: bytes, context: int | None, *, budgeted: bool = True
) -> Demand:
    """Return the worst case of a request; `context` is the model's, none where it is unknown.

    Without a budget (`budgeted` false) nobody asks for the worst case, and finding it costs a look
    at every byte: only what limits need is told.

    Raises:
        RequestError: a number in it is out of range.
    """
    most = context or _UNKNOWN
    asked, answers = request.max_tokens, 1 if request.n is None else _at_least_one("n", request.n)
    prompts = 1
    if isinstance(request, ChatRequest):
        longer = request.max_completion_tokens
        asked = max(asked or 0, longer or 0) or None
    else:
        prompts = _prompts_in(request.prompt)
        answers = max(answers, _number(request.best_of))
    asked = None if asked is None else max(0, asked)
    if not budgeted:
        return Demand(_UNKNOWN, len(body), _UNKNOWN, asked)
    prompt = most * prompts
    if (size := len(body) + _TEMPLATE_TOKENS) < prompt and _is_plain(body):
        prompt = size
    each = most if asked is None else min(asked, most)
    total = min(each * answers * prompts, _UNKNOWN)
    return Demand(min(prompt, _UNKNOWN), len(body), total, asked)


def _is_plain(body: bytes) -> bool:
    """Whether the bytes of a body bound its prompt.

    One of these words is in whatever the pattern finds, and looking for them is ten times as fast.
    """
    return not (
        b'_url"' in body
        or b"\\u00" in body
        or b'"file"' in body
        or b'"input_audio"' in body
        or b'"chat_template' in body
        or b'"documents"' in body
        or b'"mm_processor_kwargs"' in body
    ) or not _UNBOUNDED.search(body)


def round_of(body: bytes, context: int | None, first: Demand) -> Demand:
    """Return the worst case of a later round of a turn whose first one was `first`."""
    most = context or _UNKNOWN
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
        return int(bytes(raw)) if isinstance(raw, msgspec.Raw) else 1
    except ValueError:
        return 1


def _prompts_in(raw: msgspec.Raw) -> int:
    """Return how many prompts a completion request has: a list of token numbers is one."""
    if not bytes(raw).startswith(b"["):
        return 1
    try:
        prompts = msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        return 1
    many = bool(prompts) and bytes(prompts[0]).startswith((b'"', b"[", b"{"))
    return len(prompts) if many else 1
