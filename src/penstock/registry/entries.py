"""One line of the usage ledger: who used what, and what it cost."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One request, whatever became of it, or what else costs or is told of.

    Field order is the ledger's column order.

    `admitted_s` is a Unix time; `estimated` says that the engine gave no count, so that the
    tokens were counted from what was passed on; `ttft_ms` is 0 where nothing was streamed.
    `engine` is empty where none was asked. `kind` is one of `KINDS`; `note` says what the columns
    cannot, in `NOTE_BYTES` of UTF-8 at most.
    """

    request_id: str
    admitted_s: float
    tenant: str
    key_id: str
    model: str
    adapter: str
    engine: str
    outcome: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: bool
    cost_nano_usd: int
    ttft_ms: float
    total_ms: float
    replica: str
    kind: str = "request"
    note: str = ""


KINDS = ("request", "tool", "shadow", "idle")
"""What a line stands for; its place here is its number in a slot file: only append.

A request of a client; a tool called for one; a copy of a request that no tenant sees or pays; time
in which an engine was paid for and nobody used it.
"""
UNBILLED = frozenset(("shadow", "idle"))
"""Kinds that are no tenant's: they count against no budget."""
NOTE_BYTES = 96

OUTCOMES = (
    "complete",
    "client_gone",
    "engine_died",
    "engine_refused",
    "timeout",
    "refused",
    "gateway_died",
    "failed",
    "from_cache",
    "denied",
    "schema_not_met",
)
"""Every way a request or call can end; its place is its number in a slot file: only append."""
