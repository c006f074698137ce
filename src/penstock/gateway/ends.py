"""How a request has ended, in tokens and money, by the engine's count or by what was passed on."""

from typing import Final, Protocol

from penstock.gateway.admission import Route
from penstock.gateway.passage import Usage
from penstock.registry.entries import OUTCOMES, End
from penstock.registry.pricing import cost_of

OUTCOME: Final = {name: number for number, name in enumerate(OUTCOMES)}
_UNSERVED = ("refused", "engine_refused", "failed", "denied", "engine_died")
_UNANSWERED: Final = frozenset(OUTCOME[name] for name in _UNSERVED)
"""Ends before which no token need have been computed: without a count, none is assumed."""


class Account(Protocol):
    """What is looked at of a charge: who answers, and the tokens that its prompt is thought of."""

    route: Route
    prompt: int


def end_of(
    account: Account, outcome: int, usage: Usage | None, passed_on: int, seconds: float
) -> End:
    """Return the end of a request; `passed_on` counts what `usage` does not."""
    prompt = cached = completion = 0
    estimated = False
    if usage is not None:
        prompt, cached = usage.prompt_tokens, usage.cached_tokens
        completion = usage.completion_tokens or 0
    if (passed_on or usage is None) and (passed_on or outcome not in _UNANSWERED):
        prompt, completion = prompt or account.prompt, completion + passed_on
        estimated = True
    cached = min(cached, prompt)
    cost = cost_of(account.route.price, prompt, cached, completion)
    return End(outcome, estimated, prompt, cached, completion, cost, seconds * 1000)
