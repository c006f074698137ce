"""What `/metrics` says of the ledger while its database is away, and of budgets that alarm."""

from pathlib import Path

import pytest
from tests.fakes.databases import Postgres
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.gateway.gateway_process import GatewayProcess
from tests.gateway.registry_gateway import entries_when, registry_settings

from penstock.registry.records import Budgets


def test_what_waits_for_the_database_is_told(
    tmp_path: Path, engine: ScriptedEngine, server: Postgres
) -> None:
    engine.play(plain(completion()))
    settings = registry_settings({"engine": engine.url}, tmp_path, server.make("gauges"))
    with GatewayProcess(settings) as gateway:
        gateway.chat()
        wait_until(lambda: gateway.metric("penstock_ledger_waiting") == 0)
        assert gateway.metric("penstock_ledger_up") == 1
        assert gateway.metric("penstock_ledger_room_ratio") == 1
        server.kill()
        for _ in range(5):
            assert gateway.chat().status_code == 200
        wait_until(lambda: gateway.metric("penstock_ledger_up") == 0)
        assert gateway.metric("penstock_ledger_waiting") == 5
        assert gateway.metric("penstock_ledger_room_ratio") < 1
        wait_until(lambda: "changes of keys are not seen" in gateway.log)
        server.start()
        entries_when(gateway, lambda found: len(found) == 6)
        wait_until(lambda: gateway.metric("penstock_ledger_up") == 1)
        wait_until(lambda: gateway.metric("penstock_ledger_waiting") == 0)
        wait_until(lambda: "changes of keys are seen again" in gateway.log)
        assert gateway.log.count("changes of keys are not seen") == 1
        assert gateway.log.count("the ledger waits") == 1


def test_a_budget_is_told_of_from_its_alarm_on(tmp_path: Path, engine: ScriptedEngine) -> None:
    """Each answer is ten tokens; the alarm of a hundred thousand is at 20 of them."""
    engine.play(plain(completion()))
    budgets = Budgets(tokens_per_day=100_000, alarm=0.0002)
    settings = registry_settings(
        {"engine": engine.url}, tmp_path, str(tmp_path / "r.db"), bob=budgets
    )
    labels = {"scope": "tenant:bob", "unit": "tokens"}
    with GatewayProcess(settings) as gateway:
        gateway.chat(max_tokens=5)
        assert gateway.metric("penstock_budget_used_ratio", **labels) == 0
        gateway.chat(max_tokens=5)
        used = gateway.metric("penstock_budget_used_ratio", **labels)
        assert used == pytest.approx(0.0002)
        assert "bob" in gateway.get("/metrics", None).text
        assert "alice" not in gateway.get("/metrics", None).text
