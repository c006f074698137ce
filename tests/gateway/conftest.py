"""Engines that play a script, and gateways over them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.engines.embedded.engine_process import EngineProcess
from tests.fakes.databases import Postgres, postgres
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import ScriptedEngine, scripted_engine, wait_until
from tests.gateway.adapters import write_random_adapter
from tests.gateway.gateway_process import PATIENT, GatewayProcess, key_settings, settings_for
from tests.gateway.real_engines import MATHS, MODEL, NAME, RealEngine
from tests.vllm_engine import VllmEngines

from penstock.gateway.settings import ModelSettings, ToolSettings


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A database server that tests may stop, for which no two modules share one."""
    with postgres() as running:
        yield running


@pytest.fixture(scope="session")
def _engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def _weather() -> Iterator[ScriptedEngine]:
    with scripted_engine() as weather:
        yield weather


@pytest.fixture
def engine(_engine: ScriptedEngine) -> Iterator[ScriptedEngine]:
    """The engine of `gateway`; it answers a plain completion until told otherwise."""
    _engine.reset()
    _engine.play(plain(completion()))
    yield _engine
    _engine.release()
    wait_until(lambda: not _engine.running)


@pytest.fixture
def weather(_weather: ScriptedEngine) -> Iterator[ScriptedEngine]:
    """The weather API of `gateway`, a script too."""
    _weather.reset()
    yield _weather
    _weather.release()


@pytest.fixture(scope="session")
def _gateway(_engine: ScriptedEngine, _weather: ScriptedEngine) -> Iterator[GatewayProcess]:
    settings = settings_for(
        {"engine": _engine.url},
        tools=ToolSettings(weather_url=_weather.url, call_timeout_s=5.0, max_rounds=3),
        max_body_bytes=100_000,
        max_header_bytes=8_192,
        request_timeout_s=600.0,
        keep_alive_s=20.0,
        breaker=PATIENT,
    )
    with GatewayProcess(settings) as process:
        yield process


@pytest.fixture
def gateway(_gateway: GatewayProcess, engine: ScriptedEngine) -> GatewayProcess:
    """A gateway over `engine`, shared by all tests: `alice`, `bob` and `tiny` have keys."""
    wait_until(lambda: _gateway.get("/ready", None).status_code == 200)
    return _gateway


ADAPTERS = ("poet", "pirate", "lawyer")


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random adapters for the shipped model."""
    root = tmp_path_factory.mktemp("adapters")
    return {
        name: write_random_adapter(root / name, MODEL, seed) for seed, name in enumerate(ADAPTERS)
    }


@pytest.fixture(scope="session")
def embedded_url(adapters: dict[str, Path]) -> Iterator[str]:
    """The embedded engine with the shipped model."""
    modules = [f"{name}={folder}" for name, folder in adapters.items()]
    arguments = ["--served-model-name", NAME, "--enable-lora", "--max-loras", "8"]
    with EngineProcess(*arguments, "--lora-modules", *modules) as engine:
        yield engine.url


@pytest.fixture(scope="session", params=["embedded", pytest.param("vllm", marks=pytest.mark.vllm)])
def real(request: pytest.FixtureRequest, adapters: dict[str, Path]) -> Iterator[RealEngine]:
    """Gateway and engine: once the embedded one, once the real vLLM."""
    kind = request.param
    if kind == "vllm":
        engines: VllmEngines = request.getfixturevalue("vllm_engines")
        url = engines.url(MODEL, name=NAME, adapters=adapters)
    else:
        url = request.getfixturevalue("embedded_url")
    settings = settings_for({"engine": url}, NAME)
    models = [ModelSettings(name, ("engine",), parent=NAME) for name in adapters]
    maths = msgspec.structs.replace(settings.tenants[0], name="maths", tools=("calculate_math",))
    settings = msgspec.structs.replace(
        settings,
        models=(settings.models[0], *models),
        tenants=(*settings.tenants, maths),
        keys=(*settings.keys, key_settings(MATHS, "maths")),
    )
    with GatewayProcess(settings) as gateway:
        yield RealEngine(kind, url, gateway)
