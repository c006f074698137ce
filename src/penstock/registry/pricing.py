"""What tokens cost: whole nano-dollars, rounded up, so that sums are the same everywhere."""

from penstock.registry.records import Price


def cost_of(price: Price, prompt: int, cached: int, completion: int) -> int:
    """Return the price of these tokens, nano-dollars; `cached` is in `prompt`."""
    fresh = prompt - cached
    pico = fresh * price.prompt + cached * price.cached + completion * price.completion
    return -(-pico // 1000)


def most_of(price: Price, prompt: int, completion: int) -> int:
    """Return the most these tokens can cost, nano-dollars."""
    fresh, cached = price.prompt, price.cached
    dear = fresh if fresh > cached else cached
    pico = prompt * dear + completion * price.completion
    return -(-pico // 1000)
