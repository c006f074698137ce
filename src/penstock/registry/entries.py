"""One line of the usage ledger: who used what, and what it cost."""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple


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
UNBILLED: Final = frozenset(("shadow", "idle"))
"""Kinds that are no tenant's: they count against no budget."""
NOTE_BYTES = 96
_DAY_S: Final = 86_400


def sums_of(entries: Iterable[Entry]) -> dict[tuple[str, str, int], tuple[int, int]]:
    """Return nano-dollars and tokens by tenant, key and day since 1970, of what is billed."""
    sums: dict[tuple[str, str, int], tuple[int, int]] = {}
    for entry in entries:
        if entry.kind in UNBILLED:
            continue
        row = entry.tenant, entry.key_id, int(entry.admitted_s) // _DAY_S
        nano_usd, tokens = sums.get(row, (0, 0))
        tokens += entry.prompt_tokens + entry.completion_tokens
        sums[row] = nano_usd + entry.cost_nano_usd, tokens
    return sums


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


END: Final = struct.Struct("<BBIIIQf")
"""How an `End` lies in a file."""


class End:
    """How a request ended: its outcome's number, tokens, nano-dollars, milliseconds."""

    __slots__ = ("cached", "completion", "cost", "estimated", "outcome", "prompt", "total_ms")

    def __init__(  # noqa: PLR0913, PLR0917  one parameter a column
        self,
        outcome: int,
        estimated: bool,
        prompt: int,
        cached: int,
        completion: int,
        cost: int,
        total_ms: float,
    ) -> None:
        self.outcome, self.estimated = outcome, estimated
        self.prompt, self.cached, self.completion = prompt, cached, completion
        self.cost, self.total_ms = cost, total_ms

    def fields(self) -> tuple[int, bool, int, int, int, int, float]:
        """Return them in the order in which it is made of them."""
        tokens = self.prompt, self.cached, self.completion
        return self.outcome, self.estimated, *tokens, self.cost, self.total_ms
