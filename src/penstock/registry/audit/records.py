"""What stands in the spool's records, and the entries of the audit that are made of it."""

import struct
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from penstock.registry.entries import OUTCOMES, End

_BEGIN = struct.Struct("<dHH")
_END = struct.Struct("<dBBIIIQfBHHH")


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the audit: a request, a tool called for one, or what an administrator did.

    Times are Unix seconds. `note` is the ledger's: of a refused request why, else what routing or
    the cache did. `prompt` and `answer` are there as the manifest says, redacted; `cut`
    names those of them that are not whole. A call of `tool` bears `<request id>/<n>`. Of an
    administrator's action, `key_id` is the admin key, `action` what was done, `target` to what,
    `details` with which fields.
    """

    time_s: float
    kind: str
    request_id: str = ""
    tenant: str = ""
    key_id: str = ""
    model: str = ""
    adapter: str = ""
    engine: str = ""
    path: str = ""
    outcome: str = ""
    status: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cost_nano_usd: int = 0
    seconds: float = 0.0
    client: str = ""
    tool: str = ""
    action: str = ""
    target: str = ""
    note: str = ""
    details: object = None
    prompt: object = None
    answer: object = None
    cut: tuple[str, ...] = ()


class Begun(NamedTuple):
    """A request as it began; `identity` is what tells it in a slot file, too."""

    time_s: float
    identity: bytes
    path: bytes
    client: bytes
    body: bytes


class Ended(NamedTuple):
    """A request as it ended; `wire` is what its client was sent, if that is kept.

    `route` is `model \\0 adapter` that answered, which need not be what was asked first, and then
    perhaps `\\0 note`.
    """

    time_s: float
    request_id: bytes
    end: End
    engine: bytes
    route: bytes
    wire: bytes
    is_cut: bool


def pack_begun(time_s: float, identity: bytes, more: bytes, body: bytes) -> bytes:
    """Return the payload that `read_begun` reads; `more` is the path, a zero, and the client."""
    return b"%b%b%b%b" % (_BEGIN.pack(time_s, len(identity), len(more)), identity, more, body)


def pack_ended(
    time_s: float, names: tuple[bytes, bytes, bytes], end: End, wire: bytes, *, is_cut: bool
) -> bytes:
    """Return the payload that `read_ended` reads; `names`: request id, engine, route."""
    one, two, three = names
    head = _END.pack(time_s, *end.fields(), is_cut, len(one), len(two), len(three))
    return b"%b%b%b%b%b" % (head, one, two, three, wire)


def read_begun(payload: bytes) -> Begun:
    """Read a payload of `pack_begun`."""
    time_s, size, more = _BEGIN.unpack_from(payload)
    at = _BEGIN.size
    identity = payload[at : at + size]
    path, _, client = payload[at + size : at + size + more].partition(b"\0")
    return Begun(time_s, identity, path, client, payload[at + size + more :])


def read_ended(payload: bytes) -> Ended:
    """Read a payload of `pack_ended`."""
    time_s, *fields, is_cut, ids, names, routes = _END.unpack_from(payload)
    outcome, estimated, *counts = fields
    end = End(outcome, bool(estimated), *counts)
    parts, at = [], _END.size
    for size in (ids, names, routes):
        parts.append(payload[at : at + size])
        at += size
    return Ended(time_s, parts[0], end, parts[1], parts[2], payload[at:], bool(is_cut))


Shown = tuple[object, bool]
"""Text or fields as they may be written, and whether they were cut."""


class Contents(NamedTuple):
    """How bodies and answers become what is written; none leaves them out."""

    prompt: Callable[[bytes], Shown] | None = None
    answer: Callable[[bytes], Shown] | None = None


def entry_of(begun: Begun, ended: Ended | None, contents: Contents) -> AuditEntry:
    """Return the line of one request; without an end, its gateway died."""
    identity, noted = begun.identity.split(b"\0")[:5], b""
    if ended is not None and ended.route:
        *identity[3:], noted = (*ended.route.split(b"\0", 2), b"", b"")[:3]
    names = [name.decode(errors="replace") for name in identity]
    request_id, tenant, key_id, model, adapter = (*names, "", "", "", "")[:5]
    cut: list[str] = []
    prompt = answer = None
    if contents.prompt is not None and begun.body:
        prompt, is_cut = contents.prompt(begun.body)
        cut += ["prompt"] * is_cut
    if contents.answer is not None and ended is not None and ended.wire:
        answer, is_cut = contents.answer(ended.wire)
        cut += ["answer"] * (is_cut or ended.is_cut)
    end = ended.end if ended is not None else End(OUTCOMES.index("gateway_died"), True, *[0] * 5)
    return AuditEntry(
        begun.time_s,
        "request",
        request_id,
        tenant,
        key_id,
        model,
        adapter,
        ended.engine.decode(errors="replace") if ended else "",
        begun.path.decode(errors="replace"),
        OUTCOMES[end.outcome],
        prompt_tokens=end.prompt,
        cached_tokens=end.cached,
        completion_tokens=end.completion,
        estimated=end.estimated,
        cost_nano_usd=end.cost,
        seconds=round(end.total_ms / 1000, 6),
        client=begun.client.decode(errors="replace"),
        note=noted.decode(errors="ignore"),
        prompt=prompt,
        answer=answer,
        cut=tuple(cut),
    )
