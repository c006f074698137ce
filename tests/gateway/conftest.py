"""Engines that play a script, and gateways over them."""

from collections.abc import Iterator

import pytest
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import ScriptedEngine, scripted_engine, wait_until
from tests.gateway.gateway_process import GatewayProcess, settings_for

from penstock.gateway.settings import ToolSettings


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
        body_timeout_s=1.0,
        request_timeout_s=600.0,
        keep_alive_s=20.0,
    )
    with GatewayProcess(settings) as process:
        yield process


@pytest.fixture
def gateway(_gateway: GatewayProcess, engine: ScriptedEngine) -> GatewayProcess:
    """A gateway over `engine`, shared by all tests: `alice`, `bob` and `tiny` have keys."""
    wait_until(lambda: _gateway.get("/ready", None).status_code == 200)
    return _gateway
