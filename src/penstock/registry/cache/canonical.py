"""Under which key an answer is kept: a keyed hash over everything that may change the answer.

Two requests share an answer only if tenant, model, its version, address and every field agree.
How a request is written does not matter: order of fields, white space, escapes, and fields that
are null. Fields that say who asks, how fast or in which form the answer comes are left out. All
other fields are in, known or not, so that a new one can only cause a miss.
"""

import hashlib
import hmac
from typing import NamedTuple

import msgspec

INDIFFERENT = frozenset(("stream", "stream_options", "user", "metadata", "priority"))
"""Fields that change nothing of what is answered."""

_NOT_REPLAYED = ("prompt_logprobs", "return_token_ids")
"""Fields that put something into the answer which only one of its two forms has."""


class Scope(NamedTuple):
    """Whose answer, of which model: `grants` are the tools that the gateway may run for it."""

    tenant: str
    model: bytes
    version: str
    path: bytes
    grants: tuple[str, ...] = ()


def read_fields(body: bytes) -> dict[str, object] | None:
    """Return the fields of a request that count, or none where it cannot be cached."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    kept = {
        name: value
        for name, value in fields.items()
        if value is not None and name not in INDIFFERENT
    }
    return None if any(kept.get(name) for name in _NOT_REPLAYED) else kept


def key_of(secret: bytes, scope: Scope, fields: dict[str, object]) -> bytes:
    """Return the 32 bytes under which the answer to `fields` is kept for `scope`.

    Every part is preceded by its length, so no two scopes run into each other.
    """
    parts = (
        scope.tenant.encode(),
        scope.model,
        scope.version.encode(),
        scope.path,
        msgspec.json.encode(scope.grants),
        msgspec.json.encode(fields, order="sorted"),
    )
    mac = hmac.new(secret, digestmod=hashlib.sha256)
    for part in parts:
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.digest()


def is_repeatable(fields: dict[str, object]) -> bool:
    """Whether the same question is bound to get the same answer: no temperature, or a seed."""
    temperature = fields.get("temperature")
    return fields.get("seed") is not None or (
        isinstance(temperature, int | float) and temperature == 0
    )
