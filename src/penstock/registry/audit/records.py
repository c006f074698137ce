"""What stands in the spool's records, and the entries of the audit that are made of it."""

import struct
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from penstock.registry.entries import OUTCOMES
from penstock.registry.slots import End

_BEGIN = struct.Struct("<dHH")
_END = struct.Struct("<dBBIIIQfBHH")


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the audit: a request, a tool called for one, or what an administrator did.

    Times are Unix seconds. `prompt` and `answer` are there as the manifest says, redacted; `cut`
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

    def pack(self) -> bytes:
        """Return it as a record's payload."""
        more = self.path + b"\0" + self.client
        head = _BEGIN.pack(self.time_s, len(self.identity), len(more))
        return head + self.identity + more + self.body


class Ended(NamedTuple):
    """A request as it ended; `wire` is what its client was sent, if that is kept."""

    time_s: float
    request_id: bytes
    end: End
    engine: bytes
    wire: bytes
    is_cut: bool

    def pack(self) -> bytes:
        """Return it as a record's payload."""
        sizes = len(self.request_id), len(self.engine)
        head = _END.pack(self.time_s, *self.end, self.is_cut, *sizes)
        return b"".join((head, self.request_id, self.engine, self.wire))


def read_begun(payload: bytes) -> Begun:
    """Read what `Begun.pack` wrote."""
    time_s, size, more = _BEGIN.unpack_from(payload)
    at = _BEGIN.size
    identity = payload[at : at + size]
    path, _, client = payload[at + size : at + size + more].partition(b"\0")
    return Begun(time_s, identity, path, client, payload[at + size + more :])


def read_ended(payload: bytes) -> Ended:
    """Read what `Ended.pack` wrote."""
    time_s, *fields, is_cut, ids, names = _END.unpack_from(payload)
    outcome, estimated, *counts = fields
    at = _END.size
    name = at + ids
    end = End(outcome, bool(estimated), *counts)
    engine, wire = payload[name : name + names], payload[name + names :]
    return Ended(time_s, payload[at:name], end, engine, wire, bool(is_cut))


Shown = tuple[object, bool]
"""Text or fields as they may be written, and whether they were cut."""


class Contents(NamedTuple):
    """How bodies and answers become what is written; none leaves them out."""

    prompt: Callable[[bytes], Shown] | None = None
    answer: Callable[[bytes], Shown] | None = None


def entry_of(begun: Begun, ended: Ended | None, contents: Contents) -> AuditEntry:
    """Return the line of one request; without an end, its gateway died."""
    names = (*begun.identity.decode(errors="replace").split("\0"), "", "", "", "")[:5]
    request_id, tenant, key_id, model, adapter = names
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
        prompt=prompt,
        answer=answer,
        cut=tuple(cut),
    )
