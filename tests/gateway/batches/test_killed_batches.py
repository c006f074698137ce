"""Gateways that are killed in the middle of a batch, and several that share one."""

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.fakes.counting_engine import CountingEngine
from tests.fakes.databases import Postgres
from tests.fakes.gateway_engine import wait_until
from tests.fakes.valkey import valkey
from tests.gateway.batches.batch_gateway import (
    batch_settings,
    check_ledger,
    line,
    rows,
    start,
    wait_for,
)
from tests.gateway.gateway_process import BOB, GatewayProcess
from tests.gateway.registry_gateway import entries, entries_when

from penstock.gateway.settings import Settings
from penstock.registry.records import Budgets

LINES = [line(f"q-{n}", f"question {n}") for n in range(60)]
PAUSE_S = 0.05


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, engine: CountingEngine, tmp_path: Path) -> Settings:
    url = None
    if request.param == "postgresql":
        url = request.getfixturevalue("server").make(f"b{time.time_ns()}")
    return batch_settings({"engine": engine.url}, tmp_path, url)


def numbers_of(ids: set[str]) -> dict[str, int]:
    """How often each line was asked, by its number."""
    found: dict[str, int] = {}
    for name in ids:
        number = name.split("-")[1]
        found[number] = found.get(number, 0) + 1
    return found


def test_what_was_kept_is_never_asked_again(settings: Settings, engine: CountingEngine) -> None:
    engine.holds_after = 15
    with GatewayProcess(settings) as gateway:
        batch_id = start(gateway.sdk(BOB), LINES).id
        wait_until(lambda: engine.ended >= 15)
        gateway.process.kill()
        gateway.process.wait(60)
    assert len(engine.journal) < len(LINES)
    engine.holds_after = None
    with GatewayProcess(settings) as heir:
        client = heir.sdk(BOB)
        done = wait_for(client, batch_id)
        assert done.status == "completed"
        found = rows(client, done.output_file_id)
        assert found.keys() == {each["custom_id"] for each in LINES}
        assert done.error_file_id is None
        told = entries_when(heir, lambda found: engine.journal.keys() <= found.keys())
    times = numbers_of(set(engine.journal))
    assert times.keys() == {str(n) for n in range(1, len(LINES) + 1)}
    again = [number for number, count in times.items() if count > 1]
    assert len(again) <= settings_at_once(settings), "only what was under way is asked again"
    assert not engine.asked_twice
    check_ledger(told, engine)
    for name, row in list(engine.journal.items()):
        entry = told[name]
        if entry["outcome"] == "complete":
            assert (entry["prompt_tokens"], entry["completion_tokens"]) == (row.prompt, row.tokens)
        else:
            assert entry["outcome"] == "gateway_died"
            assert name.split("-")[1] in again


def settings_at_once(settings: Settings) -> int:
    assert settings.batches is not None
    return settings.batches.at_once


def test_two_gateways_share_the_batches_of_one_database(
    settings: Settings, engine: CountingEngine
) -> None:
    """Each batch is run by one of them; when one dies, the other finishes all."""
    engine.holds_after = 0
    with GatewayProcess(settings) as one, GatewayProcess(settings) as other:
        clients = one.sdk(BOB), other.sdk(BOB)
        batches = [start(clients[n % 2], LINES[:30]) for n in range(4)]
        runs = "penstock_batches_running"
        wait_until(lambda: one.metric(runs) + other.metric(runs) == 4)
        # Who is faster takes a batch; the one that is killed must have some.
        victim, heir = (one, other) if one.metric(runs) else (other, one)
        engine.holds_after = 20
        wait_until(lambda: engine.ended >= 20)
        ran = int(victim.metric(runs))
        victim.process.kill()
        victim.process.wait(60)
        engine.holds_after = None
        client = heir.sdk(BOB)
        for batch in batches:
            done = wait_for(client, batch.id)
            assert done.status == "completed"
            assert len(rows(client, done.output_file_id)) == 30
        told = entries_when(heir, lambda found: engine.journal.keys() <= found.keys(), 30)
        check_ledger(told, engine)
    assert not engine.asked_twice
    under_way = settings_at_once(settings) * ran
    assert len(engine.journal) - 120 <= under_way, "only what was under way is asked again"


def test_a_gateway_that_hangs_is_replaced_and_adds_nothing(
    server: Postgres, engine: CountingEngine, tmp_path: Path
) -> None:
    """It is stopped for longer than its hold lasts, and then goes on as if nothing had been.

    Not with SQLite, whose only lock it might hold, nor in the middle of a transaction.
    """
    name = f"b{time.time_ns()}"
    settings = batch_settings({"engine": engine.url}, tmp_path, server.make(name))
    engine.holds_after = 8
    with GatewayProcess(settings) as one:
        batch_id = start(one.sdk(BOB), LINES[:40]).id
        wait_until(lambda: engine.ended >= 8)
        one_process = one.process

        def stands_still() -> bool:
            one_process.send_signal(signal.SIGSTOP)
            if server.is_in_transaction(name):
                one_process.send_signal(signal.SIGCONT)
                return False
            return True

        try:
            wait_until(stands_still)
            with GatewayProcess(settings) as other:
                client = other.sdk(BOB)
                wait_until(lambda: other.metric("penstock_batches_running") == 1)
                one_process.send_signal(signal.SIGCONT)
                engine.holds_after = None
                done = wait_for(client, batch_id)
                assert done.status == "completed"
                assert len(rows(client, done.output_file_id)) == 40
                assert client.batches.retrieve(batch_id) == done
        finally:
            one_process.send_signal(signal.SIGCONT)


def test_a_gateway_that_is_stopped_lets_go_at_once(
    settings: Settings, engine: CountingEngine
) -> None:
    """Another one need not wait until its hold is over."""
    long = settings.batches
    assert long is not None
    long = msgspec.structs.replace(long, lease_s=300.0)
    settings = msgspec.structs.replace(settings, batches=long)
    with GatewayProcess(settings) as gateway:
        batch_id = start(gateway.sdk(BOB), LINES).id
        wait_until(lambda: engine.ended >= 8)
    with GatewayProcess(settings) as heir:
        client = heir.sdk(BOB)
        done = wait_for(client, batch_id)
        assert len(rows(client, done.output_file_id)) == 60
        assert entries(heir)


def test_a_gateway_with_another_folder_keeps_out(
    server: Postgres, engine: CountingEngine, tmp_path: Path
) -> None:
    url = server.make(f"b{time.time_ns()}")
    settings = batch_settings({"engine": engine.url}, tmp_path, url)
    assert settings.batches is not None
    own = msgspec.structs.replace(settings.batches, folder=str(tmp_path / "elsewhere"))
    strange = msgspec.structs.replace(settings, batches=own)
    with GatewayProcess(settings) as one:
        batch = wait_for(one.sdk(BOB), start(one.sdk(BOB), LINES[:2]).id)
        with GatewayProcess(strange) as other:
            answer = other.get(f"/v1/files/{batch.input_file_id}", BOB)
            assert answer.status_code == 503
            assert "share" in answer.text
            assert "no files are kept here" in other.log
            assert other.get("/v1/models", BOB).is_success


def test_limits_and_budgets_that_gateways_share_hold_for_lines(
    server: Postgres, engine: CountingEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two gateways on PostgreSQL and Valkey: the limit makes both wait, the budget ends both."""
    engine.pause_s = 0.0
    url = server.make(f"b{time.time_ns()}")
    settings = batch_settings({"engine": engine.url}, tmp_path, url, lease_s=60.0)  # nobody dies
    with valkey() as counters:
        monkeypatch.setenv("TEST_COUNTERS", counters.url)
        assert settings.registry is not None
        registry = msgspec.structs.replace(settings.registry, counters_env="TEST_COUNTERS")
        bob = msgspec.structs.replace(
            settings.tenants[1],
            requests_per_second=20.0,
            burst=10,
            budgets=Budgets(tokens_per_day=6000),
        )
        settings = msgspec.structs.replace(
            settings, registry=registry, tenants=(settings.tenants[0], bob)
        )
        settings = msgspec.structs.replace(settings, keys=settings.keys[:2])
        lines = [line(str(n), "word " * 60) for n in range(80)]
        with GatewayProcess(settings) as one, GatewayProcess(settings) as other:
            clients = [each.sdk(BOB).with_options(max_retries=10) for each in (one, other)]
            batches = [start(client, lines) for client in clients]
            good, codes = 0, set[str]()
            for client, batch in zip(clients, batches, strict=True):
                done = wait_for(client, batch.id, limit_s=120)
                good += len(rows(client, done.output_file_id))
                bad = rows(client, done.error_file_id)
                codes |= {row["error"]["code"] for row in bad.values()}
            spent = sum(row.prompt + row.tokens for row in list(engine.journal.values()))
            assert good == len(engine.journal)
            assert 0 < spent <= 6000
            assert codes == {"insufficient_quota"}
            told = entries_when(one, lambda found: engine.journal.keys() <= found.keys(), 30)
            complete = [entry for entry in told.values() if entry["outcome"] == "complete"]
            assert len(complete) == good


def test_a_batch_that_brings_out_a_defect_harms_no_other(
    engine: CountingEngine, tmp_path: Path
) -> None:
    """What it had kept cannot be read any more: it is tried until its time is over."""
    settings = batch_settings({"engine": engine.url}, tmp_path)
    parts = tmp_path / "files" / "parts"
    engine.holds_after = 8
    with GatewayProcess(settings) as gateway:
        batch_id = start(gateway.sdk(BOB), LINES).id
        wait_until(lambda: any(part.stat().st_size for part in parts.glob("*/*")))
        gateway.process.kill()
        gateway.process.wait(60)
    engine.holds_after = None
    (part,) = (parts / batch_id).iterdir()
    with part.open("ab") as file:
        file.write(b"\n what no gateway writes\n")
    with GatewayProcess(settings, may_complain=True) as heir:
        client = heir.sdk(BOB)
        wait_until(lambda: f"{batch_id} cannot be run now" in heir.log, 60)
        other = wait_for(client, start(client, LINES[:10]).id)
        assert other.status == "completed"
        assert client.batches.retrieve(batch_id).status == "in_progress"
        with closing(sqlite3.connect(tmp_path / "r.db", timeout=30)) as database, database:
            database.execute("UPDATE penstock_batches SET expires_s = 1 WHERE id = ?", (batch_id,))
        ended = wait_for(client, batch_id)
        assert ended.status == "failed"
        assert ended.errors is not None
        assert [each.code for each in ended.errors.data or ()] == ["internal_error"]
        assert heir.get("/health").status_code == 200
