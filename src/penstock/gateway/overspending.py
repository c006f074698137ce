"""What a client is told whose budget does not reach."""

from penstock.ground.errors import BudgetExceeded
from penstock.registry.purse import Purse, window_ends_s


def over_budget(purse: Purse, amount: int, now_s: float) -> BudgetExceeded:
    """Return the error of a request that `purse` cannot pay."""
    lease = purse.lease
    if lease.unit == "usd":
        need, left = f"{amount / 1e9:.6f} USD", f"{(purse.free + purse.left) / 1e9:.6f} USD"
    else:
        need, left = f"{amount} tokens", f"{purse.free + purse.left} tokens"
    whose, _, name = lease.scope.partition(":")
    return BudgetExceeded(
        f"the budget of {whose} {name} for {lease.window} does not reach for this request",
        why=f"at worst it costs {need}, and {left} are left",
        fix="A smaller `max_tokens` costs less.",
        retry_after_s=window_ends_s(lease.window) - now_s,
    )
