"""One line of the usage ledger: who used what, and what it cost."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One request, whatever became of it. Field order is the ledger's column order.

    `admitted_s` is a Unix time; `estimated` says that the engine gave no count, so that the
    tokens were counted from what was passed on; `ttft_ms` is 0 where nothing was streamed.
    `engine` is empty where none was asked.
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


OUTCOMES = (
    "complete",
    "client_gone",
    "engine_died",
    "engine_refused",
    "timeout",
    "refused",
    "gateway_died",
    "failed",
)
"""Every way a request can end; its place here is its number in a slot file: only append."""
