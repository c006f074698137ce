"""What a request may take of a budget, and what its client is told where that is too much."""

from typing import Final, NamedTuple

from penstock.gateway.admission import Route
from penstock.gateway.demand import UNKNOWN, Demand
from penstock.ground.errors import BudgetExceeded, RequestError
from penstock.registry.pricing import most_of
from penstock.registry.purse import Purse, Worst, window_ends_s

_ENDLESS: Final = 1 << 60


class Bill(NamedTuple):
    """For what a purse is asked: the worst case of a request to a model."""

    route: Route
    demand: Demand

    def fits(self, purse: Purse) -> int:
        """Return the `max_tokens` with which it would pass now; below 1 none would."""
        demand = self.demand
        price = self.route.ceiling or self.route.price
        left = purse.free + purse.left
        if purse.is_usd:
            left = left * 1000 - most_of(price, demand.prompt, 0) * 1000
            left = left // price.completion if price.completion else 0
        else:
            left -= demand.prompt
        # A request may want several answers, and ask for longer ones than the model can give.
        longest = self.route.context or _ENDLESS
        each = min(demand.asked or longest, longest)
        return left * each // max(1, demand.completion)


def over_budget(purse: Purse, amount: int, bill: Bill, now_s: float) -> BudgetExceeded:
    """Return the error of a request of which a purse cannot pay `amount`."""
    lease = purse.lease
    if purse.is_usd:
        need, left = f"{amount / 1e9:.6f} USD", f"{(purse.free + purse.left) / 1e9:.6f} USD"
    else:
        need, left = f"{amount} tokens", f"{purse.free + purse.left} tokens"
    whose, _, name = lease.scope.partition(":")
    fits = bill.fits(purse)
    return BudgetExceeded(
        f"the budget of {whose} {name} for {lease.window} does not reach for this request",
        why=f"at worst it costs {need}, and {left} are left",
        fix=f"It would pass now with `max_tokens` of {fits} or less." if fits > 0 else "",
        retry_after_s=window_ends_s(lease.window) - now_s,
        limit=f"budget in {lease.unit} for {lease.window} ({lease.scope})",
    )


def worst_of(route: Route, demand: Demand) -> Worst:
    """Return the most a request can take, in tokens and in nano-dollars.

    Raises:
        RequestError: that is not known.
    """
    prompt, completion = demand.prompt, demand.completion
    if prompt >= UNKNOWN or completion >= UNKNOWN:
        raise RequestError(
            "`max_tokens` is missing",
            why="there is a budget, and the longest answer of this model is not known",
            fix="Send `max_tokens`.",
            param="max_tokens",
            code="missing_parameter",
        )
    return prompt + completion, most_of(route.ceiling or route.price, prompt, completion)
