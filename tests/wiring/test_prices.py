"""Prices of tokens and hours, from the manifest to the gateway's settings."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.cli.app import app
from penstock.gateway.settings import EngineSettings, ModelSettings
from penstock.ground.errors import UserError
from penstock.manifest.model import Manifest, Model
from penstock.manifest.routing import OtherModel
from penstock.manifest.tenancy import Price as Given
from penstock.registry.hours import HourPrice
from penstock.registry.pricing import cost_of
from penstock.registry.records import Price
from penstock.wiring.prices import hour_prices, price_of, weights_of, with_hours


def test_prices_of_tokens_are_taken_as_they_are() -> None:
    given = Given(prompt=0.5, cached=0.05, completion=1.5, from_cache=0.25, usd_per_hour=9)
    assert price_of(given) == Price(500_000, 50_000, 1_500_000, 0.25)


def test_an_hour_under_full_load_is_paid_by_its_tokens() -> None:
    price = price_of(Given(usd_per_hour=1.21, tokens_per_second=2400))
    assert price.prompt == price.cached == price.completion
    for prompt in (0, 1_000_000, 2400 * 3600):
        assert cost_of(price, prompt, 0, 2400 * 3600 - prompt) == pytest.approx(1.21e9, rel=1e-5)


def test_an_hour_alone_leaves_tokens_free() -> None:
    assert price_of(Given(usd_per_hour=1.21)) == Price()


def test_engines_are_charged_by_the_hour_under_the_model_they_serve() -> None:
    engines = (EngineSettings("e1", "http://x"), EngineSettings("e2", "http://y"))
    models = (ModelSettings("base", ("e1", "e2")), ModelSettings("org-a", ("e1", "e2"), "base"))
    told = Manifest(prices={"base": Given(usd_per_hour=1.21)})
    priced = with_hours(engines, told, "base")
    assert hour_prices(priced, models) == (
        HourPrice("e1", "base", 1_210_000_000),
        HourPrice("e2", "base", 1_210_000_000),
    )
    assert hour_prices(with_hours(engines, told, "other"), models) == ()


EIGHT = "meta-llama/Llama-3.1-8B-Instruct"


def a_manifest(model: str, price: Given) -> Manifest:
    """One that serves `model` and has `price` for it."""
    served = Manifest(model=Model(id=model))
    return served.model_copy(update={"prices": {served.served_model: price}})


def a_plan(folder: Path) -> tuple[Path, dict[str, Any]]:
    """What `penstock plan --json` says of an 8B model under some load."""
    manifest = folder / "penstock.yaml"
    manifest.write_text(
        f"model: {{id: {EIGHT}, context: 8192}}\n"
        "load: {requests_per_minute: 300, prompt_tokens: 800, output_tokens: 200}\n"
        "target: {kind: sagemaker, region: us-east-1}\n"
    )
    done = CliRunner().invoke(app, ["plan", "--json", str(manifest)])
    assert done.exit_code == 0, done.output
    file = folder / "plan.json"
    file.write_text(done.stdout)
    return file, json.loads(done.stdout)["cheapest"]


def test_a_plan_gives_the_price_of_an_hour_and_of_its_tokens(tmp_path: Path) -> None:
    file, option = a_plan(tmp_path)
    engines = option["machines"] * option["copies_per_machine"]
    requests = option["sustainable_requests_per_minute"]["estimate"]
    price = price_of(Given(plan=str(file)))
    hour = cost_of(price, round(requests * 60 * 800), 0, round(requests * 60 * 200))
    assert hour == pytest.approx(option["usd_per_hour"] * 1e9, rel=1e-4)
    told = a_manifest(EIGHT, Given(plan=str(file)))
    (engine,) = with_hours((EngineSettings("e1", "http://x"),), told, told.served_model)
    assert engine.usd_per_hour == pytest.approx(option["usd_per_hour"] / engines)


def test_what_is_given_goes_before_the_plan(tmp_path: Path) -> None:
    file, _ = a_plan(tmp_path)
    own = Given(plan=str(file), usd_per_hour=1.21, tokens_per_second=2400)
    assert price_of(own) == price_of(Given(usd_per_hour=1.21, tokens_per_second=2400))
    assert price_of(Given(plan=str(file), prompt=0.5)).prompt == 500_000


@pytest.mark.parametrize("text", ["", "[]", '{"cheapest": null, "load": {}}', None])
def test_a_file_that_is_no_plan_is_told(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "plan.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match="gives no price"):
        price_of(Given(plan=str(file)))


def test_a_plan_of_another_model_gives_no_price(tmp_path: Path) -> None:
    file, _ = a_plan(tmp_path)
    given = Given(plan=str(file))
    for right in (EIGHT, EIGHT.lower()):  # the catalogue knows models whatever their case
        assert price_of(given, weights_of(a_manifest(right, given), "any")).prompt
    other = a_manifest("Qwen/Qwen2.5-7B-Instruct", given)
    for ask in (
        lambda: price_of(given, weights_of(other, other.served_model)),
        lambda: with_hours((EngineSettings("e1", "http://x"),), other, other.served_model),
    ):
        with pytest.raises(UserError, match=r"a plan of meta-llama/.*what is served is Qwen/"):
            ask()


@pytest.mark.parametrize(("served_as", "weights"), [(EIGHT, EIGHT), ("llama", None), (None, None)])
def test_weights_of_a_further_model_are_known_where_it_is_served_by_their_id(
    served_as: str | None, weights: str | None
) -> None:
    other = OtherModel(urls=("http://10.0.0.7:8000",), served_as=served_as)
    assert weights_of(Manifest(models={"big": other}), "big") == weights
