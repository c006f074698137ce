"""A local stack, from the manifest to the gateway's settings."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes.openai_server import KEY, fake_gateway

from penstock.gateway.routing.settings import (
    ArmSettings,
    BreakerSettings,
    RoutingSettings,
    ShadowSettings,
    TierSettings,
)
from penstock.gateway.settings import ModelSettings, Settings
from penstock.manifest.model import Manifest
from penstock.wiring.local import local_stack


def models_of(manifest: dict[str, Any], directory: Path) -> tuple[ModelSettings, ...]:
    """The models in the settings of the gateway."""
    stack = local_stack(Manifest.model_validate(manifest), directory)
    file = next(file for file in stack.files if file.name == "gateway.json")
    return msgspec.json.decode(stack.files[file], type=Settings).models


@pytest.mark.parametrize(
    ("model", "served", "form"),
    [
        ({}, "penstock-tiny", "hermes"),
        ({}, "Llama-3.2-3B-Instruct", "llama3_json"),
        ({}, "a-model-of-mine", None),
        ({"tools_format": "pythonic"}, "a-model-of-mine", "pythonic"),
        ({"tools_format": "engine"}, "penstock-tiny", None),
    ],
)
def test_calls_are_looked_for_where_the_engine_may_leave_them_in_its_text(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: dict[str, str],
    served: str,
    form: str | None,
) -> None:
    monkeypatch.setenv("ENGINE_KEY", KEY)
    monkeypatch.setattr("tests.fakes.openai_server.MODEL", served)
    with fake_gateway() as server:
        engine = {"kind": "openai", "url": server.url, "api_key": "${env:ENGINE_KEY}"}
        manifest = {"engine": engine, "model": {"id": served} | model}
        (settings,) = models_of(manifest, tmp_path)
        left = manifest | {"model": {"id": served, "structured_outputs": "engine"}}
        (unjudged,) = models_of(left, tmp_path)
    assert (settings.name, settings.tools_format) == (served, form)
    assert (settings.verify_answers, unjudged.verify_answers) == (True, False)
    assert settings.takes_formats


def test_our_own_engines_parse_their_calls(tmp_path: Path) -> None:
    (model,) = models_of({}, tmp_path)
    assert (model.tools_format, model.verify_answers) == (None, False)
    assert not model.takes_formats


def settings_of(manifest: dict[str, Any], directory: Path) -> Settings:
    stack = local_stack(Manifest.model_validate(manifest), directory)
    file = next(file for file in stack.files if file.name == "gateway.json")
    return msgspec.json.decode(stack.files[file], type=Settings)


def test_routes_and_further_models_reach_the_gateway(tmp_path: Path) -> None:
    manifest = {
        "engine": {"replicas": 2},
        "models": {
            "big": {"urls": ["http://10.0.0.7:8000", "http://10.0.0.8:8000/"], "context": 4096,
                    "api_key": "${env:BIG_KEY}", "served_as": "meta/Big"},
        },
        "prices": {"big": {"prompt": 2, "usd_per_hour": 7.5}},
        "routes": {
            "penstock-tiny": {
                "choose": "prefix", "prefix_bytes": 256, "balance": 2, "retries": 1,
                "hedge_after_ms": 300, "fallback": ["big"],
                "split": {"old": {"engine": "engine-1", "weight": 9}, "new": {"model": "big"}},
                "shadow": {"engine": "engine-2", "share": 0.5, "at_once": 3},
            },
            "auto": {"tiers": {"low": {"model": "penstock-tiny"},
                               "high": {"model": "big", "above": 0.5}}, "shares": {"code": 0.5}},
        },
        "breaker": {"failures": 9},
    }  # fmt: skip
    settings = settings_of(manifest, tmp_path)
    assert [engine.name for engine in settings.engines] == [
        "engine-1", "engine-2", "big-1", "big-2",
    ]  # fmt: skip
    assert settings.engines[3].url == "http://10.0.0.8:8000"
    assert [engine.usd_per_hour for engine in settings.engines] == [0, 0, 7.5, 7.5]
    assert (settings.engines[3].key_env, settings.engines[3].probe) == ("BIG_KEY", "/v1/models")
    tiny, big, auto = settings.models
    assert (tiny.elsewhere, big.elsewhere, auto.elsewhere) == (False, True, False)
    assert (big.name, big.engines, big.context) == ("big", ("big-1", "big-2"), 4096)
    assert (big.upstream, big.routing, big.price.prompt) == (
        "meta/Big", RoutingSettings(), 2_000_000,
    )  # fmt: skip
    assert tiny.routing == RoutingSettings(
        True, 256, 2, 1, 300, ("big",),
        (ArmSettings("old", 9, engine="engine-1"), ArmSettings("new", 1, model="big")),
        shadow=ShadowSettings(0.5, engine="engine-2", at_once=3),
    )  # fmt: skip
    assert (auto.name, auto.engines) == ("auto", ())
    assert auto.routing == RoutingSettings(
        tiers=(TierSettings("low", "penstock-tiny", 0), TierSettings("high", "big", 0.5)),
        shares={"code": 0.5},
    )
    assert settings.breaker == BreakerSettings(failures=9)


def test_without_routes_nothing_is_routed(tmp_path: Path) -> None:
    (model,) = settings_of({}, tmp_path).models
    assert model.routing is None


def test_the_defaults_of_a_route_are_those_of_the_gateway(tmp_path: Path) -> None:
    (model,) = settings_of({"routes": {"penstock-tiny": {}}}, tmp_path).models
    assert model.routing == RoutingSettings()
    assert model.routing.hedge_after_ms is None  # a hedge is work twice: only who asks has it
    assert settings_of({}, tmp_path).breaker == BreakerSettings()
