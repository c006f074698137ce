"""Prices of tokens and hours, from the manifest to the gateway's settings."""

import pytest

from penstock.gateway.settings import EngineSettings, ModelSettings
from penstock.manifest.tenancy import Price as Given
from penstock.registry.hours import HourPrice
from penstock.registry.records import Price
from penstock.wiring.prices import hour_prices, price_of, with_hours


def test_prices_of_tokens_are_taken_as_they_are() -> None:
    given = Given(prompt=0.5, cached=0.05, completion=1.5, from_cache=0.25, usd_per_hour=9)
    assert price_of(given) == Price(500_000, 50_000, 1_500_000, 0.25)


def test_an_hour_under_full_load_is_paid_by_its_tokens() -> None:
    price = price_of(Given(usd_per_hour=1.21, tokens_per_second=2400))
    assert price.prompt == price.cached == price.completion
    for prompt in (0, 1_000_000, 2400 * 3600):
        assert price.cost(prompt, 0, 2400 * 3600 - prompt) == pytest.approx(1.21e9, rel=1e-5)


def test_an_hour_alone_leaves_tokens_free() -> None:
    assert price_of(Given(usd_per_hour=1.21)) == Price()


def test_engines_are_charged_by_the_hour_under_the_model_they_serve() -> None:
    engines = (EngineSettings("e1", "http://x"), EngineSettings("e2", "http://y"))
    models = (ModelSettings("base", ("e1", "e2")), ModelSettings("org-a", ("e1", "e2"), "base"))
    priced = with_hours(engines, Given(usd_per_hour=1.21))
    assert hour_prices(priced, models) == (
        HourPrice("e1", "base", 1_210_000_000),
        HourPrice("e2", "base", 1_210_000_000),
    )
    assert hour_prices(with_hours(engines, None), models) == ()
