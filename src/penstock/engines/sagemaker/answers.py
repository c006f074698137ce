"""What SageMaker's front door answers in place of the model, and who wrote it.

On the OpenAI route two write errors, in the same shape and with the same status. The front door
writes of the operator's account (its number, the endpoint's name, a link to its logs), which is
nothing for clients. What the container wrote is the client's, and stands quoted in the front
door's message. A client can make a container echo its words, so the wording that means "scaled to
zero" counts only where the front door says it, from the first word of its message.

The shapes were published by others who measured a real endpoint; see `docs/sagemaker.md`.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from penstock.ground.errors import EngineDied, EngineError

_QUOTED = re.compile(
    r'Received (?:client|server) error \((\d{3})\) from \S+ with message "(.*)"(?:\. See |\.?$)',
    re.DOTALL,
)
_ASLEEP = re.compile(r"(?:Inference Component|Endpoint)\b[^.]{0,200}? has no capacity\b", re.I)
_SLOW = re.compile(r"timed out while waiting for a response|ModelInvocationTimeExceeded", re.I)
_BUSY = re.compile(r"Rate exceeded|ThrottlingException|Too many requests", re.I)
_MOST_TOLD = 500


class Verdict(NamedTuple):
    """How an answer that is not 200 is to be taken."""

    status: int
    body: bytes = b""
    """What the client may see of it; empty where it is the operator's."""
    asleep: bool = False
    """Whether nothing runs behind the endpoint: it is scaled to zero."""
    error: EngineError | None = None
    """What to tell in place of the status."""
    told: str = ""
    """What the front door said, for the operator's log."""


def read_answer(status: int, body: bytes) -> Verdict:
    """Return what an answer that is not 200 means."""
    said = _decoded(body)
    message, code = _words(said)
    if (original := said.get("OriginalMessage")) and isinstance(original, str):
        return Verdict(_status(said.get("OriginalStatusCode"), status), original.encode())
    if quoted := _QUOTED.match(message):
        return Verdict(int(quoted[1]), quoted[2].encode(), told=message[-_MOST_TOLD:])
    told = f"{code}: {message}"[:_MOST_TOLD] if code else message[:_MOST_TOLD]
    if status == 400 and _ASLEEP.match(message):
        return Verdict(503, asleep=True, told=told)
    if _SLOW.search(message):
        error = EngineDied(
            "the model took too long",
            why="SageMaker gives a whole answer 60 s",
            fix="Stream it, or ask for fewer tokens",
        )
        return Verdict(504, error=error, told=told)
    if status == 429 or _BUSY.search(told):
        return Verdict(429, told=told)
    return Verdict(status if status >= 500 or status in (401, 403) else 502, told=told)


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return said if isinstance(said, dict) else {}


def _words(said: Mapping[str, Any]) -> tuple[str, str]:
    """Return message and code of an error in OpenAI's shape, or in AWS's."""
    inner = said.get("error")
    if isinstance(inner, dict):
        return str(inner.get("message") or ""), str(inner.get("code") or "")
    message = said.get("message") or said.get("Message") or inner or ""
    return str(message), str(said.get("__type") or "")


def _status(given: object, otherwise: int) -> int:
    return given if isinstance(given, int) and 400 <= given < 600 else otherwise
