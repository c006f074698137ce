"""What tokens cost: from the manifest's dollars to the registry's whole pico-dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.manifest import model as manifest
    from penstock.registry.records import Price


def price_of(given: manifest.Price) -> Price:
    """Return the price of one model's tokens."""
    import msgspec

    from penstock.registry.records import Price

    price = Price.per_million(given.prompt, given.cached, given.completion)
    return msgspec.structs.replace(price, from_cache=given.from_cache)
