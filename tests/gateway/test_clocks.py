"""Gateways whose system clocks differ, by seconds, by minutes, and by a day, over one database.

Each is a process of its own; the second one's clock is moved by libfaketime, its monotonic
time is not. PostgreSQL and Valkey have the machine's clock. What must hold: the day of a budget,
the end of a key, an answer's age and an engine's hours are the same for both, whatever their
clocks say, and nothing comes to harm where a clock is set while they run.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.fakes.counting_engine import CountingEngine, counting_engine
from tests.fakes.databases import Postgres
from tests.fakes.faketime import SystemClock
from tests.fakes.gateway_engine import wait_until
from tests.fakes.valkey import valkey
from tests.gateway.gateway_process import BOB, GatewayProcess, chat_body, key_settings
from tests.gateway.registry_gateway import admin, entries, entries_when, registry_settings
from tests.gateway.test_journal import Load, compare

from penstock.gateway.settings import CacheSettings, Settings, TenantSettings
from penstock.registry.records import Budgets

DAY_S = 86_400
DAILY, FEW, PLACES = "ps-daily-secret", "ps-few-secret", "ps-places-secret"
CAP_NANO = 8_000_000
TOKENS = 200
"""Of an answer; the prompt is one. So a request costs 401,000 nano-dollars, and a million or so is
reserved for it."""


@dataclass
class Pair:
    """Two gateways: one with the machine's clock, the other with its own."""

    one: GatewayProcess
    two: GatewayProcess
    clock: SystemClock

    @property
    def both(self) -> tuple[GatewayProcess, GatewayProcess]:
        return self.one, self.two

    @property
    def urls(self) -> list[str]:
        return [self.one.url, self.two.url]


@pytest.fixture(scope="module")
def engine() -> Iterator[CountingEngine]:
    with counting_engine() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def _counters() -> Iterator[None]:
    with valkey() as running, pytest.MonkeyPatch.context() as patch:
        # One that stands still for a moment would be given up: a look at the cache is a miss then.
        patience = "socket_timeout=60&socket_connect_timeout=60"
        patch.setenv("TEST_COUNTERS", f"{running.url}?{patience}")
        patch.setenv("TEST_CACHE_KEY", "k" * 32)
        yield


def settings_of(engine: CountingEngine, folder: Path, url: str) -> Settings:
    """Tenants for one test each; `bob` may do all."""
    plain = registry_settings({"engine": engine.url}, folder, url)
    assert plain.registry is not None
    free: dict[str, Any] = {"requests_per_second": 1e6, "burst": 10**6}
    tenants = (
        TenantSettings("bob", **free, requests_per_day=10**9),
        TenantSettings("daily", **free, requests_per_day=10**9,
                       budgets=Budgets(usd_per_day=CAP_NANO / 1e9)),
        TenantSettings("few", **free, requests_per_day=40),
        TenantSettings("places", **free, requests_per_day=10**9, concurrent_requests=4),
    )  # fmt: skip
    named = ((BOB, "bob"), (DAILY, "daily"), (FEW, "few"), (PLACES, "places"))
    return msgspec.structs.replace(
        plain,
        tenants=tenants,
        keys=tuple(key_settings(*pair) for pair in named),
        registry=msgspec.structs.replace(
            plain.registry, counters_env="TEST_COUNTERS", space=folder.name
        ),
        cache=CacheSettings(store="valkey", ttl_s=60.0, key_env="TEST_CACHE_KEY"),
    )


@contextmanager
def running(settings: Settings, folder: Path, ahead_s: float) -> Iterator[Pair]:
    with SystemClock(folder, ahead_s) as clock:
        one, two = GatewayProcess(settings), GatewayProcess(settings, variables=clock.variables)
        with two, one:
            yield Pair(one, two, clock)


@pytest.fixture(
    scope="module",
    params=[90, -600, DAY_S],
    ids=["seconds-ahead", "minutes-behind", "tomorrow"],
)
def pair(
    request: pytest.FixtureRequest,
    engine: CountingEngine,
    server: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("clocks")
    url = server.make(f"clocks_{request.param}".replace("-", "minus_"))
    with running(settings_of(engine, folder, url), folder, request.param) as both:
        # Otherwise what follows would prove nothing.
        ahead_s = both.two.metric("penstock_clock_ahead_seconds")
        assert ahead_s == pytest.approx(request.param, abs=5)
        assert both.one.metric("penstock_clock_ahead_seconds") == pytest.approx(0, abs=5)
        assert "this machine's clock is" in both.two.log
        yield both


def ask(gateway: GatewayProcess, key: str) -> int:
    return gateway.post("/v1/chat/completions", asked_for("hi"), key).status_code


def asked_for(prompt: str) -> dict[str, object]:
    return {**chat_body(prompt), "max_tokens": TOKENS}


async def ask_many(client: httpx.AsyncClient, urls: list[str], key: str, count: int) -> list[int]:
    """Ask in turn, all at once; the statuses."""

    async def one(number: int) -> int:
        url = f"{urls[number % len(urls)]}/v1/chat/completions"
        answer = await client.post(url, json=asked_for("hi"), headers={"x-api-key": key})
        return answer.status_code

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def spend_all(urls: list[str]) -> int:
    """Ask until nothing is left of the day; how many were answered."""

    async def spend() -> int:
        answered = dry = 0
        async with httpx.AsyncClient(timeout=60) as client:
            while dry < 2:
                statuses = await ask_many(client, urls, DAILY, 4)
                assert set(statuses) <= {200, 429}
                answered += statuses.count(200)
                assert answered < 100, "it has no end"
                dry = 0 if 200 in statuses else dry + 1
                if dry:
                    await asyncio.sleep(0.3)  # who was refused is not heard for a moment
        return answered

    return asyncio.run(spend())


def of_tenant(gateway: GatewayProcess, name: str) -> list[dict[str, Any]]:
    return [entry for entry in entries(gateway).values() if entry["tenant"] == name]


def test_a_day_of_a_budget_is_the_same_day_for_all(pair: Pair) -> None:
    """Together they spend it once, and each says then that it is spent."""
    began_s = time.time()
    count = spend_all(pair.urls)
    for gateway in pair.both:
        assert ask(gateway, DAILY) == 429
    wait_until(lambda: len(_answered(of_tenant(pair.one, "daily"))) >= count)
    found = _answered(of_tenant(pair.one, "daily"))
    spent = sum(entry["cost_nano_usd"] for entry in found)
    assert 0.5 * CAP_NANO < spent <= CAP_NANO
    # Lines of both gateways are dated by the one clock that they share.
    assert len({entry["replica"] for entry in found}) == 2
    assert all(began_s - 2 < entry["admitted_s"] < time.time() + 2 for entry in found)
    budgets = [gateway.get("/v1/usage", DAILY).json()["budgets"] for gateway in pair.both]
    assert budgets[0] == budgets[1]
    assert budgets[0][0]["window"] in _days(began_s)


def _answered(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for entry in found if entry["outcome"] == "complete"]


def _days(since_s: float) -> set[str]:
    """Today, or two days where midnight has just been."""
    return {time.strftime("%Y-%m-%d", time.gmtime(s)) for s in (since_s, time.time())}


def test_a_day_of_requests_is_counted_once(pair: Pair) -> None:
    """What lies unused in the slice of one is given back after a second, and answers there."""

    def ask_all(count: int) -> list[int]:
        async def ask_them() -> list[int]:
            async with httpx.AsyncClient(timeout=60) as client:
                return await ask_many(client, pair.urls, FEW, count)

        return asyncio.run(ask_them())

    statuses = ask_all(60)

    def are_spent() -> bool:
        statuses.extend(ask_all(20))
        return statuses.count(200) >= 36

    wait_until(are_spent)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) <= 40


def test_keys_end_at_the_same_time_on_both(pair: Pair) -> None:
    """Those made or rotated by one open at the other for as long as they were given."""
    for maker, other in (pair.both, pair.both[::-1]):
        made = admin(maker, "POST", "/keys", {"tenant": "bob", "expires_in_s": 45.0}).json()
        wait_until(lambda key=made["secret"], other=other: ask(other, key) == 200)  # type: ignore[misc]
        new = admin(maker, "POST", f"/keys/{made['id']}/rotate", {"overlap_s": 30.0}).json()
        wait_until(lambda key=new["secret"], other=other: ask(other, key) == 200)  # type: ignore[misc]
        assert [ask(each, made["secret"]) for each in pair.both] == [200, 200]
        assert {_state(each, made["id"]) for each in pair.both} == {"active"}
        short = admin(maker, "POST", "/keys", {"tenant": "bob", "expires_in_s": 1.0}).json()
        for each in pair.both:
            wait_until(lambda key=short["secret"], each=each: ask(each, key) == 401)  # type: ignore[misc]
        for each in pair.both:
            wait_until(lambda key=short["id"], each=each: _state(each, key) == "expired")  # type: ignore[misc]


def _state(gateway: GatewayProcess, key_id: str) -> object:
    return admin(gateway, "GET", f"/keys/{key_id}").json().get("state")


def test_a_revoked_key_is_refused_by_both(pair: Pair) -> None:
    """Within a second, as long as the machine gives each its turn: told by the looks at it."""
    for maker, other in (pair.both, pair.both[::-1]):
        made = admin(maker, "POST", "/keys", {"tenant": "bob"}).json()
        wait_until(lambda key=made["secret"], other=other: ask(other, key) == 200)  # type: ignore[misc]
        assert admin(maker, "DELETE", f"/keys/{made['id']}").status_code == 200
        assert ask(maker, made["secret"]) == 401
        for _ in range(100):
            if ask(other, made["secret"]) == 401:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("it opens for longer than five seconds")


def test_an_answer_that_one_has_kept_is_as_old_for_the_other(pair: Pair) -> None:
    for number, (maker, other) in enumerate((pair.both, pair.both[::-1])):

        def told(gateway: GatewayProcess, prompt: str = f"keep {number}") -> str:
            body = {**asked_for(prompt), "temperature": 0}
            headers = {"x-api-key": BOB, "x-penstock-cache": "on"}
            answer = httpx.post(
                f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=60
            )
            return answer.headers["x-penstock-cache"]

        began_s = time.monotonic()
        assert told(maker) == "miss"
        wait_until(lambda told=told, maker=maker: told(maker).startswith("hit"))  # type: ignore[misc]
        how, _, age = told(other).partition("; age=")
        assert how == "hit"
        assert 0 <= int(age) <= time.monotonic() - began_s + 1


def test_clocks_that_are_set_under_load_change_nothing(pair: Pair, engine: CountingEngine) -> None:
    """Forth by an hour, back by two days, back to where it was."""
    ahead_s = pair.two.metric("penstock_clock_ahead_seconds")
    for each in pair.both:  # what was asked before is written
        wait_until(lambda each=each: each.metric("penstock_ledger_waiting") == 0)  # type: ignore[misc]
    known, began_s = set(entries(pair.one)), time.time()
    engine.journal.clear()
    engine.pause_s = 0.002
    load = Load(pair.urls, 3)

    async def run() -> None:
        asking = asyncio.create_task(load.keep_asking(12))
        for step_s in (3600, -2 * DAY_S, ahead_s, None):
            enough = len(load.complete) + 20
            await asyncio.sleep(0.3)
            await asyncio.to_thread(
                wait_until,
                lambda enough=enough: len(load.complete) >= enough,  # type: ignore[misc]
            )
            if step_s is not None:
                pair.clock.set(step_s)
        load.going = False
        await asking

    asyncio.run(run())
    engine.pause_s = 0.0
    wait_until(lambda: not engine.running)
    found = entries_when(pair.one, lambda found: engine.journal.keys() <= found.keys())
    mine = {name: entry for name, entry in found.items() if name not in known}
    assert compare(mine, engine, load) > 0
    assert len(load.complete) > 50
    assert set(load.statuses) <= {0, 200}
    assert all(began_s - 2 < entry["admitted_s"] < time.time() + 2 for entry in mine.values())
    assert all(0 <= entry["total_ms"] < 60_000 for entry in mine.values())
    assert ask(pair.two, BOB) == 200


@pytest.mark.parametrize("ahead_s", [DAY_S, -DAY_S], ids=["tomorrow", "yesterday"])
def test_who_lives_is_not_taken_for_dead_nor_who_is_dead_for_living(
    ahead_s: float, tmp_path: Path, engine: CountingEngine, server: Postgres
) -> None:
    """The other one holds all places for longer than a lease lasts, and is then killed."""
    url = server.make(f"dead_{ahead_s}".replace("-", "minus_"))
    settings = settings_of(engine, tmp_path, url)
    engine.journal.clear()
    engine.stop_at = 3
    with running(settings, tmp_path, ahead_s) as pair, ExitStack() as stack:
        body = json.dumps({**asked_for("hi"), "stream": True}).encode()
        for _ in range(4):
            client = stack.enter_context(pair.two.connect())
            client.send(_request(body))
            client.read_until(b"word ")
        # Whose clock is behind the other's would not take it for dead too early.
        hold_for(pair.one, 3.5 if ahead_s < 0 else 0.0)
        assert not _ends(pair.one)
        pair.two.process.kill()
        wait_until(lambda: len(_ends(pair.one)) == 4)
        engine.stop_at = None
        wait_until(lambda: ask(pair.one, PLACES) == 200)
        assert {entry["outcome"] for entry in _ends(pair.one)} == {"gateway_died"}
        assert len(_ends(pair.one)) == 4
    assert list(tmp_path.glob("*.slots")) == []


def hold_for(gateway: GatewayProcess, seconds: float) -> None:
    """See no place free for so long; anew where the machine stood still.

    Then leases may have run out, or the counters have been given up for a moment.
    """
    alone, together = "kept by each gateway for itself", "for all gateways together again"
    began_s = last_s = time.monotonic()
    given_up = gateway.log.count(alone)
    while last_s - began_s < seconds:
        status = ask(gateway, PLACES)
        now_s, log = time.monotonic(), gateway.log
        if now_s - last_s > 2 or log.count(alone) > min(given_up, log.count(together)):
            began_s, given_up = now_s, log.count(alone)
        else:
            assert status == 429
        last_s = now_s
        time.sleep(0.2)


def _ends(gateway: GatewayProcess) -> list[dict[str, Any]]:
    return [e for e in of_tenant(gateway, "places") if e["outcome"] == "gateway_died"]


def _request(body: bytes) -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n" % PLACES.encode()
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def test_hours_of_an_engine_are_counted_once(
    tmp_path: Path, engine: CountingEngine, server: Postgres
) -> None:
    """By the leader, which ends, and by the one who takes over, a day behind."""
    settings = settings_of(engine, tmp_path, server.make("hours"))
    priced = tuple(msgspec.structs.replace(e, usd_per_hour=3.6) for e in settings.engines)
    settings = msgspec.structs.replace(settings, engines=priced)
    began_s = time.time()
    with SystemClock(tmp_path, DAY_S) as clock, GatewayProcess(settings) as last:
        with GatewayProcess(settings, variables=clock.variables):
            time.sleep(1.0)
        time.sleep(0.5)
        assert last.process.poll() is None
    with GatewayProcess(settings) as reader:
        found = [e for e in entries(reader).values() if e["kind"] == "idle"]
        lasted_ms = 1000 * (time.time() - began_s)
    assert found
    assert all(began_s - 2 < entry["admitted_s"] < time.time() + 2 for entry in found)
    assert 0 < sum(entry["total_ms"] for entry in found) <= lasted_ms


def test_a_clock_that_goes_back_over_midnight_does_not_spend_the_day_twice(
    tmp_path: Path, engine: CountingEngine
) -> None:
    """With SQLite the machine's clock counts, and so does its day, however often it comes."""
    settings = settings_of(engine, tmp_path, str(tmp_path / "r.db"))
    cap_nano = CAP_NANO // 3  # four requests or five
    few = tuple(
        msgspec.structs.replace(each, budgets=Budgets(usd_per_day=cap_nano / 1e9))
        for each in settings.tenants
    )
    settings = msgspec.structs.replace(settings, tenants=few)
    midnight_s = (time.time() // DAY_S + 1) * DAY_S
    with (
        SystemClock(tmp_path, midnight_s - 3600 - time.time()) as clock,
        GatewayProcess(settings, variables=clock.variables) as gateway,
    ):
        answered = spend_all([gateway.url])
        clock.set(midnight_s + 3600 - time.time())
        assert ask(gateway, DAILY) == 200
        clock.set(midnight_s - 3600 - time.time())
        assert spend_all([gateway.url]) == 0
        clock.set(midnight_s + 3600 - time.time())
        answered += 1 + spend_all([gateway.url])
        rows = entries_when(gateway, lambda found: len(_answered([*found.values()])) == answered)
    by_day: dict[float, int] = {}
    for entry in rows.values():
        day = entry["admitted_s"] // DAY_S
        by_day[day] = by_day.get(day, 0) + entry["cost_nano_usd"]
    assert len(by_day) == 2
    assert all(0.5 * cap_nano < spent <= cap_nano for spent in by_day.values()), by_day
