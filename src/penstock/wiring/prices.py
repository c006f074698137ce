"""What tokens cost: from the manifest's dollars to the registry's whole pico-dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.gateway.settings import EngineSettings, ModelSettings
    from penstock.manifest import tenancy as manifest
    from penstock.registry.hours import HourPrice
    from penstock.registry.records import Price


def price_of(given: manifest.Price) -> Price:
    """Return the price of one model's tokens.

    Where only an hour has a price, a token costs `usd_per_hour / (3600 * tokens_per_second)`:
    under full load, the hour's tokens pay for the hour.
    """
    import msgspec

    from penstock.registry.records import Price

    prompt, completion = given.prompt, given.completion
    if given.usd_per_hour and given.tokens_per_second and not (prompt or completion):
        prompt = completion = given.usd_per_hour * 1e6 / (3600 * given.tokens_per_second)
    price = Price.per_million(prompt, given.cached, completion)
    return msgspec.structs.replace(price, from_cache=given.from_cache)


def with_hours(
    engines: Iterable[EngineSettings], given: manifest.Price | None
) -> tuple[EngineSettings, ...]:
    """Return the engines of one model with what an hour of each costs."""
    import msgspec

    usd = (given.usd_per_hour or 0.0) if given else 0.0
    return tuple(msgspec.structs.replace(engine, usd_per_hour=usd) for engine in engines)


def hour_prices(
    engines: Iterable[EngineSettings], models: Iterable[ModelSettings]
) -> tuple[HourPrice, ...]:
    """Return what is charged by the hour, each engine under the first model it serves."""
    from penstock.registry.hours import HourPrice
    from penstock.registry.records import NANO

    model_of: dict[str, str] = {}
    for model in models:
        for name in model.engines:
            model_of.setdefault(name, model.name)
    return tuple(
        HourPrice(engine.name, model_of.get(engine.name, ""), round(engine.usd_per_hour * NANO))
        for engine in engines
        if engine.usd_per_hour
    )
