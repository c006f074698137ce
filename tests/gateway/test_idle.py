"""Idle time of a real gateway: what its engine costs and nobody paid is in the ledger."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.gateway.gateway_process import BOB, GatewayProcess
from tests.gateway.registry_gateway import PRICE, admin, entries, registry_settings
from tests.gateway.test_caching import ask, kept, told

from penstock.gateway.settings import CacheSettings


def test_an_engine_is_charged_for_while_a_gateway_runs(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    engine.play(plain(completion()))
    settings = registry_settings({"engine": engine.url}, tmp_path, str(tmp_path / "r.db"))
    priced = tuple(msgspec.structs.replace(e, usd_per_hour=3.6) for e in settings.engines)
    price = msgspec.structs.replace(PRICE, from_cache=0.5)
    models = tuple(msgspec.structs.replace(model, price=price) for model in settings.models)
    settings = msgspec.structs.replace(
        settings, engines=priced, models=models, cache=CacheSettings()
    )
    with GatewayProcess(settings) as gateway:
        assert told(ask(gateway)) == "miss"
        kept(gateway)
        assert told(ask(gateway)) == "hit"
        wait_until(lambda: _runs(tmp_path / "r.db"))
    with GatewayProcess(settings) as heir:
        found = entries(heir)
        idle = [entry for entry in found.values() if entry["kind"] == "idle"]
        asked = [entry for entry in found.values() if entry["kind"] == "request"]
        rows = _rows(admin(heir, "GET", "/usage?group_by=kind").json())
        own = heir.get("/v1/usage", BOB).json()["data"]
    assert idle  # two of them where a full hour came meanwhile
    bill = 1000 * sum(entry["total_ms"] for entry in idle)
    charged = sum(entry["cost_nano_usd"] for entry in idle)
    assert sorted(entry["outcome"] for entry in asked) == ["complete", "from_cache"]
    assert all(entry["cost_nano_usd"] for entry in asked)
    paid = sum(entry["cost_nano_usd"] for entry in asked)
    assert charged + paid == bill > 0
    whose = {(entry["engine"], entry["model"], entry["tenant"]) for entry in idle}
    assert whose == {("engine", "scripted", "")}
    assert rows["idle"] == (0, charged / 1e9)
    assert rows["request"] == (2, paid / 1e9)
    assert [row["requests"] for row in own] == [2]


def _runs(database: Path) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        return bool(
            connection.execute("SELECT * FROM penstock_hours WHERE until_ms > 0").fetchall()
        )


def _rows(answer: Any) -> dict[str, tuple[int, float]]:
    return {row["kind"]: (row["requests"], row["usd"]) for row in answer["data"]}
