"""The ledger compared with an engine's own journal, while clients, gateways and databases die.

Two gateways share one PostgreSQL. No request is lost and none is there twice; one that ended well
is counted as the engine counted it; no budget is overspent.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.counting_engine import CountingEngine, counting_engine
from tests.fakes.databases import Postgres
from tests.fakes.gateway_engine import wait_until
from tests.gateway.gateway_process import BOB, GatewayProcess, chat_body
from tests.gateway.registry_gateway import PRICE, entries, entries_when, registry_settings

from penstock.gateway.settings import Settings
from penstock.registry.pricing import cost_of
from penstock.registry.records import Budgets

TOKENS = 6


@pytest.fixture
def engine() -> Iterator[CountingEngine]:
    with counting_engine() as running:
        yield running


def settings_of(engine: CountingEngine, folder: Path, url: str, **more: Any) -> Settings:
    return registry_settings({"engine": engine.url}, folder, url, **more)


def asked_for(words: int, tokens: int, *, stream: bool) -> dict[str, object]:
    return {**chat_body("word " * words, stream=stream), "max_tokens": tokens}


def request_of(body: bytes, more: bytes = b"") -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n%b" % (BOB.encode(), more)
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


class Load:
    """Many clients at once; some leave in the middle."""

    def __init__(self, urls: list[str], seed: int) -> None:
        self.urls, self.random = urls, random.Random(seed)
        self.statuses: dict[int, int] = {}
        self.complete: set[str] = set()
        self.going = True

    async def ask(self, url: str) -> None:
        stream, leaves = self.random.random() < 0.6, self.random.random() < 0.1
        body = json.dumps(
            asked_for(self.random.randint(1, 40), self.random.randint(1, 12), stream=stream)
        ).encode()
        port = int(url.rpartition(":")[2])
        status, head, text = 0, "", b""
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(request_of(body, b"connection: close\r\n"))
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                status = int(head[9:12])
                text = b"" if leaves else await reader.read()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        ends_well = text.endswith(b"0\r\n\r\n" if stream else b"}") and b"error" not in text
        if status == 200 and ends_well:
            self.complete.add(head.partition("x-request-id: ")[2].partition("\r\n")[0])

    async def keep_asking(self, clients: int) -> None:
        """Until `going` is false."""

        async def one() -> None:
            while self.going:
                await self.ask(self.random.choice(self.urls))
                await asyncio.sleep(0.005)

        await asyncio.gather(*(one() for _ in range(clients)))

    async def ask_at_once(self, count: int) -> None:
        await asyncio.gather(*(self.ask(self.urls[n % len(self.urls)]) for n in range(count)))


def compare(found: dict[str, dict[str, Any]], engine: CountingEngine, load: Load) -> int:
    """The ledger and the journal agree; returns what was spent, nano-dollars.

    A gateway that is killed takes along what the engine has not yet read from its connection.
    """
    asked = {name: entry for name, entry in found.items() if entry["outcome"] != "refused"}
    sent = {name for name, entry in asked.items() if entry["engine"]}
    assert engine.journal.keys() <= sent
    unread = sent - engine.journal.keys()
    assert {asked[name]["outcome"] for name in unread} <= {"gateway_died"}
    assert not engine.asked_twice
    assert load.complete <= asked.keys()
    for name, entry in asked.items():
        row = engine.journal.get(name)
        if row is None:
            assert entry["cost_nano_usd"] == 0 or name in unread
            continue
        cost = cost_of(PRICE, entry["prompt_tokens"], 0, entry["completion_tokens"])
        assert entry["cost_nano_usd"] == cost
        assert entry["completion_tokens"] <= row.tokens
        if entry["outcome"] == "complete":
            assert not entry["estimated"]
            assert (entry["prompt_tokens"], entry["completion_tokens"]) == (row.prompt, row.tokens)
        else:
            assert name not in load.complete
    return sum(entry["cost_nano_usd"] for entry in found.values())


@pytest.mark.parametrize("tokens", range(TOKENS + 1))
def test_a_client_killed_after_any_chunk_is_charged_what_was_generated(
    chunked: GatewayProcess, counting: CountingEngine, tokens: int
) -> None:
    """The engine waits after so many tokens; the client reads them all, or part, and dies."""
    for reads in ("all", "some"):
        counting.journal.clear()
        counting.stop_at = tokens
        known = set(entries(chunked))
        body = json.dumps(asked_for(5, TOKENS + 1, stream=True)).encode()
        with chunked.connect() as client:
            client.send(request_of(body))
            wait_until(lambda: [row.tokens for row in list(counting.journal.values())] == [tokens])
            if reads == "all":
                for _ in range(tokens):
                    client.read_until(b"word ")
            else:
                client.read(20)
            wait_until(lambda: counting.waiting)
            chunked.get("/health")  # the gateway's loop has come round since the engine wrote
        count = len(known) + 1
        found = entries_when(chunked, lambda now, count=count: len(now) == count)  # type: ignore[misc]
        (name,) = found.keys() - known
        entry, row = found[name], counting.journal[name]
        assert entry["outcome"] == "client_gone"
        assert entry["completion_tokens"] == row.tokens == tokens
        wait_until(lambda: not counting.running)


@pytest.fixture(scope="module")
def counting() -> Iterator[CountingEngine]:
    with counting_engine() as running:
        yield running


@pytest.fixture(scope="module")
def chunked(
    counting: CountingEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("chunked")
    with GatewayProcess(settings_of(counting, folder, str(folder / "r.db"))) as process:
        yield process


def test_a_thousand_at_once_at_two_gateways_stay_within_a_small_budget(
    tmp_path: Path, engine: CountingEngine, server: Postgres
) -> None:
    """Many are refused, for each reserves its worst case; what is spent stays below the cap.

    The slower the machine, the more of them are there before the first has ended and the fewer
    are let in: then another thousand comes.
    """
    cap = 0.02
    settings = settings_of(engine, tmp_path, server.make("thousand"), bob=Budgets(usd_per_day=cap))
    with GatewayProcess(settings) as one, GatewayProcess(settings) as two:
        load = Load([one.url, two.url], 1)
        for _ in range(6):
            asyncio.run(load.ask_at_once(1000))
            if len(load.complete) > 150:
                break
        wait_until(lambda: not engine.running)
        found = entries_when(one, lambda found: engine.journal.keys() <= found.keys())
        found = entries_when(one, lambda found: len(found) >= len(engine.journal))
        spent = compare(found, engine, load)
    assert set(load.statuses) <= {200, 429}, load.statuses
    assert load.statuses[429] > 0
    assert len(load.complete) > 100
    assert cap * 1e9 * 0.2 < spent <= cap * 1e9


def test_gateways_and_the_database_die_under_load(
    tmp_path: Path, engine: CountingEngine, server: Postgres
) -> None:
    """One gateway is killed, then the database; both come back, and nothing is missing."""
    engine.pause_s = 0.002
    settings = settings_of(engine, tmp_path, server.make("deaths"), bob=Budgets(usd_per_day=0.5))
    with GatewayProcess(settings) as lasting:
        mortal = GatewayProcess(settings).__enter__()
        load = Load([lasting.url, mortal.url], 2)

        async def more(answers: int) -> None:
            enough = len(load.complete) + answers
            await asyncio.to_thread(wait_until, lambda: len(load.complete) >= enough)

        async def run() -> None:
            asking = asyncio.create_task(load.keep_asking(24))
            await more(60)
            engine.holds_after = 0  # it cannot have answered them all when it is killed
            await asyncio.to_thread(wait_until, lambda: engine.waiting >= 12)
            mortal.process.kill()
            engine.holds_after = None
            load.urls = [lasting.url]
            await more(20)
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(0.6)
            await asyncio.to_thread(server.start)
            with_heir = await asyncio.to_thread(GatewayProcess(settings).__enter__)
            load.urls = [lasting.url, with_heir.url]
            await more(60)
            load.going = False
            await asking
            with_heir.__exit__()

        asyncio.run(run())
        wait_until(lambda: not engine.running)
        found = entries_when(lasting, lambda found: engine.journal.keys() <= found.keys())
        mortal.__exit__()
    with GatewayProcess(settings) as last:
        found = entries(last)
        spent = compare(found, engine, load)
        rows = last.get("/v1/usage?group_by=tenant", BOB).json()
    assert len(load.complete) > 100
    assert any(entry["outcome"] == "gateway_died" for entry in found.values())
    assert 0 < spent <= 500_000_000
    assert [round(row["usd"] * 1e9) for row in rows["data"]] == [spent]
    assert [round(row["spent"] * 1e9) for row in rows["budgets"]] == [spent]
    assert list(tmp_path.glob("*.slots")) == []
