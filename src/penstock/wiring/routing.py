"""Routing: what the manifest says of it, and the ways of a gateway where a model has some."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from penstock.gateway.admission import Admission
    from penstock.gateway.charges import Charges
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.routing.settings import RoutingSettings, ShadowSettings
    from penstock.gateway.settings import ModelSettings, Settings
    from penstock.gateway.ways import Ways
    from penstock.manifest.model import Manifest
    from penstock.manifest.routing import OtherModel, Shadow, Way


def open_ways(
    settings: Settings,
    admission: Admission,
    fleet: Fleet,
    charges: Charges,
    registry: CollectorRegistry,
) -> Ways | None:
    """Return the ways of all models; none where every model is reached by least work alone."""
    if all(model.routing is None for model in settings.models):
        return None
    from penstock.gateway.ways import Ways

    ways = Ways(settings, admission, fleet, charges)
    registry.register(ways.meters)
    return ways


def with_routes(settings: Settings, manifest: Manifest) -> Settings:
    """Return the settings with further models, their engines, and all routes.

    Raises:
        UserError: a route is for a model that the running server does not serve.
    """
    import msgspec

    from penstock.gateway.routing.settings import BreakerSettings
    from penstock.gateway.settings import EngineSettings
    from penstock.ground.errors import UserError
    from penstock.manifest.references import parse
    from penstock.wiring.prices import with_hours
    from penstock.wiring.sagemaker import other_engine

    engines, models = list(settings.engines), list(settings.models)
    for name, other in manifest.models.items():
        names = other.engine_names(name)
        added: list[EngineSettings] = []
        if other.endpoint is not None:
            added.append(other_engine(manifest, name, other))
        key_env = parse(other.api_key).name if other.api_key else None
        for engine, url in zip(names, other.urls, strict=False):
            address = url.rstrip("/")
            added.append(EngineSettings(engine, address, probe="/v1/models", key_env=key_env))
        engines += with_hours(added, manifest, name)
        models.append(_other_model(manifest, name, names))
    known = {model.name for model in models}
    for name, way in manifest.routes.items():
        if name not in known and not (way.tiers or way.split):
            raise UserError(
                f"routes.{name} names no model", fix=f"There are: {', '.join(sorted(known))}"
            )
    models += [_other_model(manifest, name, ()) for name in manifest.routes if name not in known]
    routed = tuple(_routed(model, manifest.routes.get(model.name)) for model in models)
    breaker = BreakerSettings(**manifest.breaker.model_dump())
    return msgspec.structs.replace(
        settings, engines=tuple(engines), models=routed, breaker=breaker
    )


def _other_model(manifest: Manifest, name: str, engines: tuple[str, ...]) -> ModelSettings:
    from penstock.gateway.settings import ModelSettings
    from penstock.registry.records import Limits, Price
    from penstock.wiring.prices import price_of, weights_of

    price, limit = manifest.prices.get(name), manifest.limits.get(name)
    other = manifest.models.get(name)
    return ModelSettings(
        name,
        engines,
        context=other.context if other else None,
        price=price_of(price, weights_of(manifest, name)) if price else Price(),
        limits=Limits(**limit.model_dump()) if limit else Limits(),
        upstream=_upstream(other) if other else None,
        elsewhere=other is not None,
    )


def _upstream(other: OtherModel) -> str | None:
    """Return what the engines call the model; at SageMaker the address says it all."""
    return other.served_as if other.endpoint is None else ""


def _routed(model: ModelSettings, way: Way | None) -> ModelSettings:
    import msgspec

    from penstock.gateway.routing.settings import RoutingSettings

    if way is not None:
        return msgspec.structs.replace(model, routing=_routing(way))
    if model.upstream is not None:
        return msgspec.structs.replace(model, routing=RoutingSettings())
    return model


def _routing(way: Way) -> RoutingSettings:
    from penstock.gateway.routing.settings import ArmSettings, RoutingSettings, TierSettings

    return RoutingSettings(
        prefix=way.choose == "prefix",
        prefix_bytes=way.prefix_bytes,
        balance=way.balance,
        retries=way.retries,
        hedge_after_ms=way.hedge_after_ms,
        fallback=way.fallback,
        arms=tuple(
            ArmSettings(name, arm.weight, arm.model, arm.engine) for name, arm in way.split.items()
        ),
        tiers=tuple(
            TierSettings(name, tier.model, tier.above) for name, tier in way.tiers.items()
        ),
        shares=way.shares,
        shadow=_shadow(way.shadow) if way.shadow is not None else None,
    )


def _shadow(shadow: Shadow) -> ShadowSettings:
    from penstock.gateway.routing.settings import ShadowSettings

    return ShadowSettings(shadow.share, shadow.model, shadow.engine, shadow.at_once)
