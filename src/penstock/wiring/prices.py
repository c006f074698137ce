"""What tokens cost: from the manifest's dollars to the registry's whole pico-dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from penstock.gateway.settings import EngineSettings, ModelSettings
    from penstock.manifest import tenancy as given_as
    from penstock.manifest.model import Manifest
    from penstock.registry.hours import HourPrice
    from penstock.registry.records import Price


def price_of(given: given_as.Price, weights: str | None = None) -> Price:
    """Return the price of one model's tokens; see `weights_of` for `weights`.

    Where only an hour has a price, a token costs `usd_per_hour / (3600 * tokens_per_second)`:
    under full load, the hour's tokens pay for the hour.

    Raises:
        UserError: the plan that is named cannot be used, or is one of another model.
    """
    import msgspec

    from penstock.registry.records import Price

    prompt, completion = given.prompt, given.completion
    engine = _engine_of(given, weights)
    if engine.usd_per_hour and engine.tokens_per_second and not (prompt or completion):
        prompt = completion = engine.usd_per_hour * 1e6 / (3600 * engine.tokens_per_second)
    price = Price.per_million(prompt, given.cached, completion)
    return msgspec.structs.replace(price, from_cache=given.from_cache)


def weights_of(manifest: Manifest, name: str) -> str | None:
    """Return the id of the weights behind a model or adapter, as a plan would name them.

    None where the manifest does not tell: of a server that already runs under a name of its own.
    """
    from penstock.manifest.model import SHIPPED_MODEL

    other = manifest.models.get(name)
    if other is not None:
        return other.served_as if other.served_as and "/" in other.served_as else None
    own = manifest.model.id
    return None if own == SHIPPED_MODEL and manifest.runs_elsewhere else own


class _Engine(NamedTuple):
    """What an hour of one engine costs, and what it computes under full load."""

    usd_per_hour: float | None
    tokens_per_second: float | None


def _engine_of(given: given_as.Price, weights: str | None) -> _Engine:
    if given.plan is None:
        return _Engine(given.usd_per_hour, given.tokens_per_second)
    from pathlib import Path

    planned = _planned(Path(given.plan), weights)
    return _Engine(
        given.usd_per_hour or planned.usd_per_hour,
        given.tokens_per_second or planned.tokens_per_second,
    )


def _planned(path: Path, weights: str | None) -> _Engine:
    """Return what a plan says of one engine: its share of the bill, and what it sustains."""
    import json

    from penstock.ground.errors import UserError

    try:
        plan = json.loads(path.read_text("utf-8"))
        option, load, model = plan["cheapest"], plan["load"], str(plan["model"])
        engines = option["machines"] * option["copies_per_machine"]
        requests = option["sustainable_requests_per_minute"]["estimate"]
        tokens = requests * (load["prompt_tokens"] + load["output_tokens"]) / 60
        if weights is None or model.casefold() == weights.casefold():
            return _Engine(option["usd_per_hour"] / engines, tokens / engines)
        why = f"it is a plan of {model}, and what is served is {weights}"
    except OSError as error:
        why = error.strerror or "it cannot be read"
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        why = "it is not a plan that serves the load, as `penstock plan --json` prints one"
    raise UserError(
        f"the plan {path} gives no price",
        why=why,
        fix=f"Make it: penstock plan --json > {path}",
    )


def with_hours(
    engines: Iterable[EngineSettings], manifest: Manifest, name: str
) -> tuple[EngineSettings, ...]:
    """Return the engines of model `name` with what an hour of each costs; raises as `price_of`."""
    import msgspec

    given = manifest.prices.get(name)
    weights = weights_of(manifest, name)
    usd = (_engine_of(given, weights).usd_per_hour or 0.0) if given else 0.0
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
