"""What one field alone cannot tell about models and routes."""

from collections.abc import Iterator

from penstock.manifest.fields import Path, dotted
from penstock.manifest.flaws import NO_URL, Flaw, http_url, unknown_name
from penstock.manifest.model import Manifest
from penstock.manifest.routing import Arm, OtherModel, Shadow, Way

FEATURES = ("long", "reasoning", "code", "math", "tools", "output", "dialogue", "structure")
"""What a request is judged by for `tiers`."""


def check_models(manifest: Manifest) -> Iterator[Flaw]:
    """Further models have servers, and names of their own."""
    names = set(manifest.engine_names)
    for name, model in manifest.models.items():
        path: Path = ("models", name)
        if name == manifest.served_model or name in manifest.adapters:
            yield Flaw(path, f"there is a model or adapter '{name}' already", "Rename it.")
        yield from _servers(path, model)
        for index, url in enumerate(model.urls):
            parts = http_url(url)
            if not parts:
                yield Flaw((*path, "urls", index), *NO_URL)
            elif parts.path.rstrip("/").endswith("/v1"):
                what = "the address ends in /v1"
                yield Flaw((*path, "urls", index), what, "Leave /v1 out: it is added.")
        engines = model.engine_names(name)
        if taken := names & set(engines):
            what = f"models.{name} gives an engine the name {min(taken)}, which another one has"
            yield Flaw(path, what, "Rename the model.")
        names |= set(engines)


def _servers(path: Path, model: OtherModel) -> Iterator[Flaw]:
    name = path[1]
    if not model.urls and model.endpoint is None:
        example = "urls: [http://10.0.0.7:8000]"
        yield Flaw(path, f"models.{name} has no servers", "Give urls.", example)
    if model.component and model.endpoint is None:
        what = f"models.{name}.component is on no endpoint"
        yield Flaw((*path, "component"), what, "Give endpoint.")
    if model.endpoint is not None:
        for field in ("urls", "api_key", "served_as"):
            if getattr(model, field):
                what = f"models.{name}.{field} has no effect on an endpoint of SageMaker"
                yield Flaw((*path, field), what, "Remove it.")


def check_routes(manifest: Manifest) -> Iterator[Flaw]:
    """Routes lead to models and engines that there are, by settings that have an effect."""
    known = list(manifest.model_names)
    foreign = manifest.engine_kind == "openai" and not manifest.model.served_name
    for name, way in manifest.routes.items():
        path: Path = ("routes", name)
        stands_for_others = name not in known
        if way.tiers and way.split:
            what = f"routes.{name} has tiers and a split"
            yield Flaw(path, what, "Give the split to the models of the tiers.")
        if stands_for_others and not (way.tiers or way.split) and not foreign:
            yield unknown_name(path, "model", name, known)
        elif stands_for_others and (way.tiers or way.split):
            yield from _without_engines(path, way)
            yield from _not_counted(manifest, name)
        for place, model in _models_in(path, way):
            if model not in known and not foreign:
                yield unknown_name(place, "model", model, known)
            elif (other := manifest.routes.get(model)) and other.tiers:
                what = f"'{model}' has tiers itself"
                yield Flaw(place, what, "Name a model, not a name that stands for others.")
        yield from _arms(manifest, path, way)
        yield from _tiers(path, way)
        if name in way.fallback:
            yield Flaw((*path, "fallback"), f"'{name}' cannot stand in for itself", "Remove it.")


def _models_in(path: Path, way: Way) -> Iterator[tuple[Path, str]]:
    for index, model in enumerate(way.fallback):
        yield (*path, "fallback", index), model
    for name, tier in way.tiers.items():
        yield (*path, "tiers", name, "model"), tier.model
    for name, arm in way.split.items():
        if arm.model is not None:
            yield (*path, "split", name, "model"), arm.model
    if way.shadow is not None and way.shadow.model is not None:
        yield (*path, "shadow", "model"), way.shadow.model


def _without_engines(path: Path, way: Way) -> Iterator[Flaw]:
    """A name that only stands for others has no engines to choose among."""
    idle = ("choose", "prefix_bytes", "balance", "retries", "hedge_after_ms", "fallback", "shadow")
    name = path[1]
    for field in idle:
        default = Way.model_fields[field].get_default(call_default_factory=True)
        if getattr(way, field) != default:
            what = f"routes.{name}.{field} has no effect: {name} only stands for others"
            yield Flaw((*path, field), what, "Give it to the models themselves.")


def _not_counted(manifest: Manifest, name: str) -> Iterator[Flaw]:
    """Tokens, places and prices are those of the model that answers."""
    if name in manifest.prices:
        what = f"prices.{name} has no effect: {name} only stands for others"
        yield Flaw(("prices", name), what, "Give prices to the models themselves.")
    limit = manifest.limits.get(name)
    for field in ("tokens_per_minute", "concurrent_requests"):
        if limit is not None and getattr(limit, field) is not None:
            what = f"limits.{name}.{field} has no effect: {name} only stands for others"
            yield Flaw(("limits", name, field), what, "Give it to the models themselves.")


def _arms(manifest: Manifest, path: Path, way: Way) -> Iterator[Flaw]:
    name = str(path[1])
    engines = manifest.engines_of(name)
    pointers: list[tuple[Path, Arm | Shadow]] = [
        ((*path, "split", arm_name), arm) for arm_name, arm in way.split.items()
    ]
    if way.shadow is not None:
        pointers.append(((*path, "shadow"), way.shadow))
    for place, arm in pointers:
        if (arm.model is None) == (arm.engine is None):
            what = f"{dotted(place)} names neither or both of model and engine"
            yield Flaw(place, what, "Give one of them.")
        elif arm.engine is not None and arm.engine not in engines:
            kind = f"engine of '{name}'"
            yield unknown_name((*place, "engine"), kind, arm.engine, list(engines))
    if way.split and not any(arm.weight for arm in way.split.values()):
        yield Flaw((*path, "split"), "no arm of the split has a weight", "Give one above 0.")
    if way.hedge_after_ms is not None and len(engines) == 1:
        what = f"routes.{name}.hedge_after_ms has no effect on one engine"
        yield Flaw((*path, "hedge_after_ms"), what, "Remove it, or give the model more engines.")


def _tiers(path: Path, way: Way) -> Iterator[Flaw]:
    name = path[1]
    scores = [tier.above for tier in way.tiers.values()]
    if scores and (scores[0] != 0 or sorted(set(scores)) != scores):
        what = f"the tiers of routes.{name} do not rise from 0"
        yield Flaw((*path, "tiers"), what, "Begin with above: 0, and go upwards.")
    if way.shares and not way.tiers:
        what = f"routes.{name}.shares has no effect without tiers"
        yield Flaw((*path, "shares"), what, "Remove it.")
    for feature, share in way.shares.items():
        if feature not in FEATURES:
            yield unknown_name((*path, "shares", feature), "feature", feature, list(FEATURES))
        elif not 0 <= share <= 1:
            what = f"routes.{name}.shares.{feature} is a share, 0 to 1"
            yield Flaw((*path, "shares", feature), what)
