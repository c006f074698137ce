"""Batches run on idle capacity: clients' requests go first, and find places free."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.fakes.gateway_answers import completion, plain
from tests.fakes.gateway_engine import Act, ScriptedEngine, scripted_engine, wait_until
from tests.gateway.batches.batch_gateway import batch_settings, line, rows, start, wait_for
from tests.gateway.gateway_process import BOB, GatewayProcess

from penstock.gateway.settings import QueueSettings, Settings

PLACES = 4
ANSWER = plain(completion())


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as running:
        running.play([Act.WAIT, *ANSWER])
        yield running
        running.release()


def settings_for(engine: ScriptedEngine, folder: Path, **more: Any) -> Settings:
    told = {"share": 0.5, "at_once": 8, **more}
    settings = batch_settings({"engine": engine.url}, folder, **told)
    return msgspec.structs.replace(settings, queue=QueueSettings(PLACES, max_wait_s=60.0))


def asked_by_batches(engine: ScriptedEngine) -> int:
    return sum(b"batch_" in asked.headers["x-request-id"].encode() for asked in engine.asked)


def test_no_line_begins_while_engines_are_busy(engine: ScriptedEngine, tmp_path: Path) -> None:
    with (
        GatewayProcess(settings_for(engine, tmp_path)) as gateway,
        ThreadPoolExecutor(8) as threads,
    ):
        clients = [threads.submit(gateway.chat) for _ in range(2)]
        wait_until(lambda: engine.running == 2)
        client = gateway.sdk(BOB)
        batch = start(client, [line(str(n)) for n in range(6)])
        wait_for(client, batch.id, ["in_progress"])
        waiting = "penstock_batch_lines_waiting"
        wait_until(lambda: gateway.metric(waiting) == 6)
        for _ in range(20):  # many looks at whether there is room
            assert gateway.metric("penstock_batch_lines_running") == 0
        assert asked_by_batches(engine) == 0
        engine.play(ANSWER)
        engine.release()
        assert all(each.result().is_success for each in clients)
        done = wait_for(client, batch.id)
        assert len(rows(client, done.output_file_id)) == 6


def test_lines_leave_half_of_the_places_to_clients(engine: ScriptedEngine, tmp_path: Path) -> None:
    with (
        GatewayProcess(settings_for(engine, tmp_path)) as gateway,
        ThreadPoolExecutor(8) as threads,
    ):
        client = gateway.sdk(BOB)
        batch = start(client, [line(str(n)) for n in range(12)])
        wait_until(lambda: asked_by_batches(engine) == 2)
        clients = [threads.submit(gateway.chat) for _ in range(2)]
        wait_until(lambda: engine.running == 4)
        assert gateway.metric("penstock_queue_length") == 0
        assert asked_by_batches(engine) == 2
        late = [threads.submit(gateway.chat) for _ in range(3)]
        wait_until(lambda: gateway.metric("penstock_queue_length") == 3)
        engine.play(ANSWER)
        engine.release()
        assert all(each.result().is_success for each in (*clients, *late))
        done = wait_for(client, batch.id)
        assert len(rows(client, done.output_file_id)) == 12
        first = [b"batch_" in asked.headers["x-request-id"].encode() for asked in engine.asked]
        assert first[:7] == [True] * 2 + [False] * 5, "who waited in the queue went before"


def test_what_others_have_at_the_engine_counts(engine: ScriptedEngine, tmp_path: Path) -> None:
    """Another gateway's requests are seen by the engine's own gauges."""
    text = (
        b"vllm:num_requests_running 9\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0\n"
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n"
    engine.gauges = [head % len(text) + text]
    engine.play(ANSWER)
    with GatewayProcess(settings_for(engine, tmp_path)) as gateway:
        wait_until(lambda: gateway.metric("penstock_engine_foreign") == 9)
        client = gateway.sdk(BOB)
        batch = start(client, [line("a")])
        wait_until(lambda: gateway.metric("penstock_batch_lines_waiting") == 1)
        for _ in range(20):
            assert gateway.metric("penstock_batch_lines_running") == 0
        assert gateway.chat().is_success
        idle = text.replace(b"9", b"0")
        engine.gauges = [head % len(idle) + idle]
        assert wait_for(client, batch.id).status == "completed"


def test_tenants_share_the_idle_places(engine: ScriptedEngine, tmp_path: Path) -> None:
    """Who has a hundred lines more does not keep another one waiting."""
    with GatewayProcess(settings_for(engine, tmp_path, at_once=2)) as gateway:
        client = gateway.sdk(BOB)
        first = start(client, [line(str(n)) for n in range(30)])
        wait_until(lambda: asked_by_batches(engine) == 2)
        made = gateway.sdk("ps-tiny-secret")
        second = start(made, [line("only")])
        wait_until(lambda: gateway.metric("penstock_batch_lines_waiting") == 1)
        engine.play(ANSWER)
        engine.release()
        wait_for(client, first.id)
        assert wait_for(made, second.id).status == "completed"
        mine = [second.id in asked.headers["x-request-id"] for asked in engine.asked]
        assert mine.index(True) <= 5
