"""Errors as OpenAI's clients know them: the only place that turns an error into a status."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from penstock.chat.wanted import FIELD
from penstock.ground.errors import (
    AnswerUnfit,
    BudgetExceeded,
    EngineAsleep,
    EngineDied,
    EngineRefused,
    EngineUnavailable,
    LimitExceeded,
    NotAllowed,
    Overloaded,
    PenstockError,
    RequestError,
    StoreUnavailable,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One error answer: status, JSON body and extra headers."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def fault_of(error: BaseException) -> Fault:
    """Return the answer for `error`; anything unforeseen is a plain 500 that tells nothing."""
    if isinstance(error, EngineRefused):
        return _refusal(error)
    if isinstance(error, AnswerUnfit):
        usage = {"usage": error.usage} if error.usage else {}
        return _fault(422, str(error), "schema_not_met", FIELD, more=usage)
    known = next((entry for entry in _KINDS if isinstance(error, entry[0])), None)
    if known is None:
        message = "Penstock failed on this request; its log says why."
        return _fault(500, message, "internal_error")
    _, status, code = known
    message = str(error) or "the answer took too long"
    if isinstance(error, RequestError):
        status = 404 if error.code in _NOT_THERE else status
        return _fault(status, message, error.code or code, error.param)
    if isinstance(error, LimitExceeded | Overloaded | EngineAsleep):
        wait = b"%d" % max(1, math.ceil(error.retry_after_s))
        return _fault(status, message, code, headers=((b"retry-after", wait),))
    return _fault(status, message, code, headers=_HEADERS.get(status, ()))


def code_of(error: BaseException) -> str:
    """Return the code that tells what kind of error it is."""
    return next((code for kind, _, code in _KINDS if isinstance(error, kind)), "internal_error")


_KINDS: tuple[tuple[type[BaseException], int, str], ...] = (
    (NotAllowed, 401, "invalid_api_key"),
    (BudgetExceeded, 429, "insufficient_quota"),
    (LimitExceeded, 429, "rate_limit_exceeded"),
    (RequestError, 400, "invalid_request"),
    (Overloaded, 503, "overloaded"),
    (EngineAsleep, 503, "model_asleep"),
    (EngineUnavailable, 503, "engine_unavailable"),
    (EngineDied, 502, "engine_died"),
    (StoreUnavailable, 503, "accounting_unavailable"),
    (TimeoutError, 504, "timeout"),
)
_NOT_THERE = frozenset(("model_not_found", "not_found"))
_HEADERS = {401: ((b"www-authenticate", b"Bearer"),), 503: ((b"retry-after", b"2"),)}


def _refusal(error: EngineRefused) -> Fault:
    """An engine's 4xx concerns the request and is handed on; anything else is our 502.

    So are 401, 403 and 407, which concern our own key for the engine and not the client's.
    """
    if not concerns_request(error.status):
        return _fault(502, str(error), "engine_error")
    if is_openai_error(error.body):
        return Fault(error.status, error.body)
    return _fault(error.status, str(error), "engine_refused")


def concerns_request(status: int) -> bool:
    """Whether an engine's error status is the client's business."""
    return 400 <= status < 500 and status not in (401, 403, 407)


def plain_fault(status: int, message: str, code: str) -> Fault:
    """Return an error answer that has no exception behind it."""
    return _fault(status, message, code)


def stream_event(error: PenstockError) -> bytes:
    """Return the server-sent event that tells a client its stream has failed."""
    return b"data: " + fault_of(error).body + b"\n\n"


class _Anything(msgspec.Struct):
    message: str


class _Shape(msgspec.Struct):
    error: _Anything


def is_openai_error(body: bytes) -> bool:
    """Whether `body` is an error in OpenAI's shape already."""
    try:
        msgspec.json.decode(body, type=_Shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def _fault(
    status: int,
    message: str,
    code: str,
    param: str = "",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    more: Mapping[str, object] | None = None,
) -> Fault:
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": param or None, "code": code}
    return Fault(status, msgspec.json.encode({"error": {**error, **(more or {})}}), headers)
