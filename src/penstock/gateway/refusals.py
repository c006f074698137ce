"""Refusals: which limit of whom was reached, and what the ledger says of it."""

from penstock.gateway.caller import Caller
from penstock.gateway.faults import code_of
from penstock.ground.errors import LimitExceeded, PenstockError, RequestError
from penstock.registry.gate import Gate, Refusal


def limit_reached(caller: Caller, gate: Gate, refusal: Refusal, model: str = "") -> LimitExceeded:
    """Return the error for a request that `gate` does not let in: the caller's, or `model`'s."""
    scope = next((each.scope for each in caller.accounts if each.gate is gate), f"model:{model}")
    kind, _, name = scope.partition(":")
    return LimitExceeded(
        f"{kind} {name} has reached its limit",
        why=refusal.limit,
        retry_after_s=refusal.retry_after_s,
        limit=f"{refusal.limit} ({scope})",
    )


def model_at_limit(model: str, refusal: Refusal) -> LimitExceeded:
    """Return the error for a request that a model's own limit does not let in."""
    return LimitExceeded(
        f"model {model} has reached its limit",
        why=refusal.limit,
        retry_after_s=refusal.retry_after_s,
        limit=f"{refusal.limit} (model:{model})",
    )


def reason_of(error: PenstockError) -> str:
    """Return what stands in the note of a request that was refused: the limit, or the code."""
    if isinstance(error, LimitExceeded):
        return error.limit
    own = error.code if isinstance(error, RequestError) else ""
    return own or code_of(error)
