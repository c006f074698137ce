"""Gateways that are killed under load: the ledger holds every request once, with what it used.

The engine keeps a journal of its own: which requests it was asked, by the id the gateway gave.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fakes.gateway_answers import chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.gateway.gateway_process import BOB, GatewayProcess, chat_body
from tests.gateway.registry_gateway import entries, entries_when, registry_settings

from penstock.gateway.settings import Settings
from penstock.registry.records import Budgets

WORDS = [f"w{number}" for number in range(8)]


@pytest.fixture
def settings(tmp_path: Path, engine: ScriptedEngine) -> Settings:
    return registry_settings({"engine": engine.url}, tmp_path, str(tmp_path / "r.db"))


@pytest.fixture
def gateway(settings: Settings) -> Iterator[GatewayProcess]:
    with GatewayProcess(settings) as process:
        yield process


def asked_ids(engine: ScriptedEngine) -> set[str]:
    return {asked.headers["x-request-id"] for asked in engine.asked}


async def load(gateway: GatewayProcess, seen: dict[str, str], *, stream: bool) -> None:
    """Ask until the gateway dies; `seen` gets the outcome of every answer by request id."""

    async def ask(client: httpx.AsyncClient) -> None:
        headers = {"x-api-key": BOB}
        while True:
            request_id = ""
            body = chat_body(stream=stream)
            try:
                url = f"{gateway.url}/v1/chat/completions"
                async with client.stream("POST", url, json=body, headers=headers) as answer:
                    request_id = answer.headers["x-request-id"]
                    seen[request_id] = "begun"
                    text = b"".join([piece async for piece in answer.aiter_raw()])
                seen[request_id] = "complete" if answer.status_code == 200 else "failed"
                assert b"error" not in text
            except httpx.HTTPError:
                return

    async with httpx.AsyncClient(timeout=60) as client:
        await asyncio.gather(*(ask(client) for _ in range(16)))


@pytest.mark.parametrize("round_", range(3))
def test_no_request_is_lost_and_none_is_there_twice(
    settings: Settings, engine: ScriptedEngine, round_: int
) -> None:
    stream = round_ < 2
    engine.play(streamed(chat_events(WORDS)) if stream else plain(completion()))
    seen: dict[str, str] = {}
    with GatewayProcess(settings) as gateway:

        async def run() -> None:
            asking = asyncio.create_task(load(gateway, seen, stream=stream))
            enough = 21 + 20 * round_
            await asyncio.to_thread(
                wait_until, lambda: [*seen.values()].count("complete") >= enough
            )
            gateway.process.kill()
            await asking

        asyncio.run(run())
    complete = {name for name, how in seen.items() if how == "complete"}
    assert len(complete) > 20
    with GatewayProcess(settings) as heir:
        found = entries_when(heir, lambda found: asked_ids(engine) <= found.keys())
    # A gateway that is killed takes along what the engine has not yet read from its connection.
    unread = found.keys() - asked_ids(engine)
    assert {found[name]["outcome"] for name in unread} <= {"gateway_died"}
    for name in complete:
        entry = found[name]
        assert (entry["outcome"], entry["estimated"]) == ("complete", False), entry
        assert (entry["prompt_tokens"], entry["completion_tokens"]) == (7, 3)
    for entry in found.values():
        assert entry["outcome"] in ("complete", "gateway_died")
        assert entry["completion_tokens"] <= len(WORDS) + 1


@pytest.mark.parametrize("chunks", range(len(WORDS) + 3))
def test_a_client_that_leaves_after_any_chunk_is_counted(
    gateway: GatewayProcess, engine: ScriptedEngine, chunks: int
) -> None:
    answer = streamed(chat_events(WORDS))
    engine.play([*answer[: chunks + 1], Act.WAIT, *answer[chunks + 1 :]])
    body = json.dumps(chat_body(stream=True)).encode()
    with gateway.connect() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n"
                    b"content-length: %d\r\n\r\n%b" % (BOB.encode(), len(body), body))  # fmt: skip
        wait_until(lambda: engine.waiting == 1)
        visible = min(chunks, len(WORDS) + 2)
        if visible:
            client.read_until(b"data: ")
        gateway.get("/health")  # the gateway's loop has come round since the engine wrote
    (entry,) = entries_when(gateway, lambda found: len(found) == 1).values()
    assert entry["outcome"] == "client_gone"
    if chunks > len(WORDS) + 2:
        assert not entry["estimated"]
    else:
        assert entry["estimated"]
        assert entry["completion_tokens"] == max(0, visible - 1)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ([Act.DIE], "engine_died"),
        ([*streamed(chat_events(WORDS))[:4], Act.DIE], "engine_died"),
        (plain({"error": {"message": "no", "type": "x"}}, "400 Bad Request"), "engine_refused"),
    ],
)
def test_failures_of_the_engine_are_entries(
    gateway: GatewayProcess, engine: ScriptedEngine, script: Any, outcome: str
) -> None:
    engine.play(script)
    gateway.chat(key=BOB, stream=True)
    (entry,) = entries_when(gateway, lambda found: len(found) == 1).values()
    assert entry["outcome"] == outcome
    assert entry["cost_nano_usd"] >= 0


def test_a_refused_request_is_an_entry_that_costs_nothing(gateway: GatewayProcess) -> None:
    assert gateway.chat(key=BOB, model="none").status_code == 404
    (entry,) = entries_when(gateway, lambda found: len(found) == 1).values()
    assert (entry["outcome"], entry["cost_nano_usd"], entry["model"]) == ("refused", 0, "none")
    assert entry["note"] == "model_not_found"


def test_a_budget_holds_with_a_thousand_at_once_two_gateways_and_a_kill(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    """A request costs 0.00042 dollars, at worst 0.0007; the budget is worth 238 of them."""
    usage = {"prompt_tokens": 400, "completion_tokens": 10, "total_tokens": 410}
    engine.play(plain(completion(usage=usage)))
    settings = registry_settings(
        {"engine": engine.url}, tmp_path, str(tmp_path / "r.db"), bob=Budgets(usd_per_day=0.1)
    )
    answered: list[int] = []

    async def ask_all(urls: list[str], count: int) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:

            async def ask(number: int) -> None:
                url = f"{urls[number % len(urls)]}/v1/chat/completions"
                body = {**chat_body(), "max_tokens": 10}
                try:
                    answer = await client.post(url, json=body, headers={"x-api-key": BOB})
                    answered.append(answer.status_code)
                except httpx.HTTPError:
                    answered.append(0)

            await asyncio.gather(*(ask(number) for number in range(count)))

    with GatewayProcess(settings) as one:
        with GatewayProcess(settings) as two:
            asyncio.run(ask_all([one.url, two.url], 20))
            two.process.kill()
        asyncio.run(ask_all([one.url], 1000))
        assert set(answered) <= {200, 429}
        assert answered.count(429) > 0
        done = answered.count(200)
        found = entries_when(
            one, lambda found: sum(e["outcome"] == "complete" for e in found.values()) >= done
        )
    spent = sum(entry["cost_nano_usd"] for entry in found.values())
    assert spent <= 100_000_000
    assert len(asked_ids(engine)) * 420_000 >= spent
    assert done > 100


def test_a_gateway_that_ends_well_leaves_nothing(
    settings: Settings, engine: ScriptedEngine, tmp_path: Path
) -> None:
    with GatewayProcess(settings) as first:
        for _ in range(20):
            assert first.chat(key=BOB).status_code == 200
    assert list(tmp_path.glob("*.slots")) == []
    with GatewayProcess(settings) as second:
        assert len(entries(second)) == 20


def test_a_request_that_no_engine_could_take_is_one_entry(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.stop()
    wait_until(lambda: gateway.chat(key=BOB).status_code == 503)
    before = len(entries(gateway))
    assert gateway.chat(key=BOB).status_code == 503
    engine.start()
    found = entries_when(gateway, lambda found: len(found) > before)
    assert {entry["outcome"] for entry in found.values()} <= {"refused", "engine_died"}
