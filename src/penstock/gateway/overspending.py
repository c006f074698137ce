"""What a request may take of a budget, and what its client is told where that is too much."""

from typing import NamedTuple

from penstock.gateway.admission import Route
from penstock.gateway.demand import Demand
from penstock.ground.errors import BudgetExceeded, RequestError
from penstock.registry.purse import Purse, window_ends_s


class Bill(NamedTuple):
    """What is asked of a purse: so much, for the worst case of a request to a model."""

    purse: Purse
    amount: int
    route: Route
    demand: Demand

    def fits(self) -> int:
        """Return the `max_tokens` with which it would pass now; below 1 none would."""
        purse, demand = self.purse, self.demand
        price = self.route.ceiling or self.route.price
        left = purse.free + purse.left
        if purse.is_usd:
            left = left * 1000 - price.worst(demand.prompt, 0) * 1000
            left = left // price.completion if price.completion else 0
        else:
            left -= demand.prompt
        each = demand.asked or self.route.context or 0  # a request may want several answers
        return left * each // max(1, demand.completion)


def over_budget(bill: Bill, now_s: float) -> BudgetExceeded:
    """Return the error of a request that a purse cannot pay."""
    purse, amount = bill.purse, bill.amount
    lease = purse.lease
    if purse.is_usd:
        need, left = f"{amount / 1e9:.6f} USD", f"{(purse.free + purse.left) / 1e9:.6f} USD"
    else:
        need, left = f"{amount} tokens", f"{purse.free + purse.left} tokens"
    whose, _, name = lease.scope.partition(":")
    fits = bill.fits()
    return BudgetExceeded(
        f"the budget of {whose} {name} for {lease.window} does not reach for this request",
        why=f"at worst it costs {need}, and {left} are left",
        fix=f"It would pass now with `max_tokens` of {fits} or less." if fits > 0 else "",
        retry_after_s=window_ends_s(lease.window) - now_s,
        limit=f"budget in {lease.unit} for {lease.window} ({lease.scope})",
    )


def worst_of(route: Route, demand: Demand) -> tuple[int, int]:
    """Return the most a request can take, in tokens and in nano-dollars.

    Raises:
        RequestError: that is not known.
    """
    if not demand.is_bounded:
        raise RequestError(
            "`max_tokens` is missing",
            why="there is a budget, and the longest answer of this model is not known",
            fix="Send `max_tokens`.",
            param="max_tokens",
            code="missing_parameter",
        )
    prompt, completion = demand.prompt, demand.completion
    return prompt + completion, (route.ceiling or route.price).worst(prompt, completion)
