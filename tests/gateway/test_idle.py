"""Idle time of a real gateway: what its engine costs and nobody paid is in the ledger."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.gateway.gateway_process import BOB, GatewayProcess
from tests.gateway.registry_gateway import admin, entries, registry_settings


def test_an_engine_is_charged_for_while_a_gateway_runs(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    engine.play(plain(completion()))
    settings = registry_settings({"engine": engine.url}, tmp_path, str(tmp_path / "r.db"))
    priced = tuple(msgspec.structs.replace(e, usd_per_hour=3.6) for e in settings.engines)
    settings = msgspec.structs.replace(settings, engines=priced)
    with GatewayProcess(settings) as gateway:
        assert gateway.chat(key=BOB).status_code == 200
        wait_until(lambda: _runs(tmp_path / "r.db"))
    with GatewayProcess(settings) as heir:
        found = entries(heir)
        (idle,) = (entry for entry in found.values() if entry["kind"] == "idle")
        (asked,) = (entry for entry in found.values() if entry["kind"] == "request")
        rows = _rows(admin(heir, "GET", "/usage?group_by=kind").json())
        own = heir.get("/v1/usage", BOB).json()["data"]
    bill = 1000 * idle["total_ms"]
    assert idle["cost_nano_usd"] + asked["cost_nano_usd"] == bill > 0
    assert (idle["engine"], idle["model"], idle["tenant"]) == ("engine", "scripted", "")
    assert rows["idle"] == (0, idle["cost_nano_usd"] / 1e9)
    assert rows["request"] == (1, asked["cost_nano_usd"] / 1e9)
    assert [row["requests"] for row in own] == [1]


def _runs(database: Path) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        return bool(
            connection.execute("SELECT * FROM penstock_hours WHERE until_ms > 0").fetchall()
        )


def _rows(answer: Any) -> dict[str, tuple[int, float]]:
    return {row["kind"]: (row["requests"], row["usd"]) for row in answer["data"]}
