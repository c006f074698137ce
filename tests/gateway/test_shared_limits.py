"""Limits of gateways that share a server: real processes, real Valkey or Redis, real kills."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.fakes.gateway_answers import chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.fakes.valkey import Valkey, valkey
from tests.gateway.gateway_process import BOB, GatewayProcess, chat_body
from tests.gateway.registry_gateway import entries_when, registry_settings

from penstock.gateway.routing.settings import RoutingSettings
from penstock.gateway.settings import ModelSettings, Settings, TenantSettings
from penstock.registry.records import Limits


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    with valkey() as running:
        # A gateway that goes on alone after half a second lets pass what is not asked of it here.
        patience = "socket_timeout=60&socket_connect_timeout=60"
        monkeypatch.setenv("TEST_COUNTERS", f"{running.url}?{patience}")
        yield running


def with_counters(settings: Settings, **limits: object) -> Settings:
    """Bob with these limits, counted by the server."""
    registry = settings.registry
    assert registry is not None
    given = {"requests_per_second": 1e6, "burst": 10**6, "requests_per_day": 10**6, **limits}
    return msgspec.structs.replace(
        settings,
        registry=msgspec.structs.replace(registry, counters_env="TEST_COUNTERS"),
        tenants=(TenantSettings("bob", **given),),  # type: ignore[arg-type]
        keys=tuple(key for key in settings.keys if key.tenant == "bob"),
    )


@contextmanager
def gateways(settings: Settings, count: int = 2) -> Iterator[list[GatewayProcess]]:
    with ExitStack() as stack:
        yield [stack.enter_context(GatewayProcess(settings)) for _ in range(count)]


@pytest.fixture
def plain_settings(tmp_path: Path, engine: ScriptedEngine, server: Valkey) -> Settings:
    return registry_settings({"engine": engine.url}, tmp_path, str(tmp_path / "r.db"))


def flood(
    urls: Sequence[str], count: int, at_once: int = 20, path: str = "/v1/chat/completions"
) -> Counter[int]:
    """Send `count` requests to the gateways in turn; returns how often each status came."""
    body = chat_body() if path != "/invoke" else {"prompt": "x"}

    async def send_all() -> Counter[int]:
        places = asyncio.Semaphore(at_once)
        async with httpx.AsyncClient(timeout=60) as client:

            async def send(number: int) -> int:
                async with places:
                    url = f"{urls[number % len(urls)]}{path}"
                    answer = await client.post(url, json=body, headers={"x-api-key": BOB})
                    if answer.status_code == 429:
                        assert int(answer.headers["retry-after"]) >= 1
                        assert "x-ratelimit-limit-requests" in answer.headers or path == "/invoke"
                    return answer.status_code

            return Counter(await asyncio.gather(*(send(number) for number in range(count))))

    return asyncio.run(send_all())


@pytest.mark.parametrize(
    "limits",
    [{"requests_per_second": 0.001, "burst": 40}, {"requests_per_day": 40}],
    ids=["burst", "day"],
)
def test_two_gateways_share_a_limit(plain_settings: Settings, limits: dict[str, float]) -> None:
    with gateways(with_counters(plain_settings, **limits)) as (one, two):
        urls = [one.url, two.url]
        passed = 0

        def is_spent() -> bool:
            nonlocal passed
            more = flood(urls, 20)
            passed += more[200]
            return more[200] == 0

        assert flood(urls, 20) == Counter({200: 20})
        wait_until(is_spent)
        # What lay unused in slices is given back after a second.
        wait_until(lambda: is_spent() and 20 + passed >= 38)
        assert 20 + passed <= 40
        assert one.metric("penstock_counters_up") == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/invoke"])
def test_another_model_stands_in_for_a_shared_limit(
    plain_settings: Settings, engine: ScriptedEngine, path: str
) -> None:
    few, more = Limits(requests_per_second=0.001, burst=8), Limits(requests_per_day=10**6)
    models = (
        msgspec.structs.replace(
            plain_settings.models[0], limits=few, routing=RoutingSettings(fallback=("second",))
        ),
        ModelSettings("second", ("engine",), limits=more),
    )
    engine.play(streamed(chat_events(["x"])) if path == "/invoke" else plain(completion()))
    settings = msgspec.structs.replace(plain_settings, models=models)
    with gateways(with_counters(settings, requests_per_second=1e6, models=("*",))) as (one, two):
        assert flood([one.url, two.url], 24, at_once=4, path=path) == Counter({200: 24})
    asked = Counter(each.json["model"] for each in engine.asked)
    assert 7 <= asked["scripted"] <= 8  # a slice may lie unused in the other gateway
    assert asked["second"] == 24 - asked["scripted"]


def test_a_limit_of_a_model_and_invoke_count_too(plain_settings: Settings) -> None:
    limited = msgspec.structs.replace(
        plain_settings.models[0], limits=Limits(requests_per_second=0.001, burst=8)
    )
    settings = msgspec.structs.replace(plain_settings, models=(limited,))
    with gateways(with_counters(settings, requests_per_second=0.001, burst=12)) as (one, two):
        assert flood([one.url, two.url], 20, at_once=4)[200] == 8
        # The four that the model refused later are spent; what the server had to be asked for
        # twice was counted once.
        assert flood([one.url], 3)[200] == 0
    with gateways(with_counters(plain_settings, requests_per_second=0.001, burst=3)) as (one, two):
        statuses = flood([one.url, two.url], 10, path="/invoke")
        assert statuses[429] >= 7


def test_tokens_a_minute_hold_for_both(plain_settings: Settings, engine: ScriptedEngine) -> None:
    """A request is ten tokens; they flow in at one a second."""
    engine.play(plain(completion()))
    with gateways(with_counters(plain_settings, tokens_per_minute=60)) as (one, two):
        since_s = time.monotonic()
        statuses = flood([one.url, two.url], 60, at_once=6)
        most = (60 + time.monotonic() - since_s) / 10 + 6
        assert 1 <= statuses[200] <= most
        wait_until(lambda: "tokens a minute" in two.chat().text)


def test_places_are_shared_and_those_of_a_killed_gateway_come_back(
    plain_settings: Settings, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT, *plain(completion())])
    with gateways(with_counters(plain_settings, concurrent_requests=4)) as (one, two):

        async def fill() -> list[int]:
            async with httpx.AsyncClient(timeout=60) as client:

                async def send(gateway: GatewayProcess) -> int:
                    url = f"{gateway.url}/v1/chat/completions"
                    try:
                        answer = await client.post(
                            url, json=chat_body(), headers={"x-api-key": BOB}
                        )
                        return answer.status_code
                    except httpx.TransportError:
                        return 0

                sending = [asyncio.create_task(send(one)) for _ in range(10)]
                await asyncio.to_thread(wait_until, lambda: engine.running == 4)
                await asyncio.to_thread(
                    wait_until, lambda: sum(task.done() for task in sending) == 6
                )
                assert await send(two) == 429
                one.process.kill()
                deadline, before = time.monotonic() + 60, len(engine.asked)
                again = asyncio.create_task(send(two))
                while len(engine.asked) == before:
                    assert time.monotonic() < deadline
                    if again.done():
                        again = asyncio.create_task(send(two))
                    await asyncio.sleep(0.05)
                engine.release()
                assert await again == 200
                return await asyncio.gather(*sending)

        statuses = asyncio.run(fill())
        assert Counter(statuses) == Counter({429: 6, 0: 4})


def test_a_server_that_is_killed_under_load_and_comes_back_empty(
    plain_settings: Settings, server: Valkey
) -> None:
    """Each gateway keeps its half; together they keep the limit. Then it is shared again."""
    settings = with_counters(
        plain_settings, requests_per_second=20.0, burst=40, requests_per_day=10_000
    )
    with gateways(settings) as both:
        urls = [gateway.url for gateway in both]
        assert flood(urls, 4) == Counter({200: 4})
        since_s, passed = time.monotonic(), 4
        killed = False
        while time.monotonic() < since_s + 4 or passed < 20 * 3:
            passed += flood(urls, 20)[200]
            time.sleep(0.1)
            if not killed and time.monotonic() > since_s + 1:
                server.kill()
                killed = True
        # A burst more: what was in the bucket and in its slices when the server went.
        most = 2 * 40 + 20 * (time.monotonic() - since_s)
        assert passed <= most
        wait_until(lambda: not any(each.metric("penstock_counters_up") for each in both))
        assert all(gateway.log.count("limits are kept by each gateway") == 1 for gateway in both)
        server.start()
        wait_until(lambda: all(each.metric("penstock_counters_up") == 1 for each in both))
        since_s = time.monotonic()
        passed = flood(urls, 200)[200]
        assert passed <= 2 * 40 + 20 * (time.monotonic() - since_s)
        assert passed > 0


def test_a_gateway_starts_without_the_server(plain_settings: Settings, server: Valkey) -> None:
    server.kill()
    with gateways(with_counters(plain_settings, burst=5, requests_per_second=0.001), 1) as (one,):
        assert flood([one.url], 20)[200] == 5
        assert one.metric("penstock_counters_up") == 0


def test_the_ledger_is_whole_when_the_server_is_killed_under_load(
    plain_settings: Settings, server: Valkey
) -> None:
    """Whatever was answered or refused, before, while and after it was away, is a line, once."""
    settings = with_counters(plain_settings, requests_per_second=2000.0, burst=4000)
    with gateways(settings) as both:
        urls = [gateway.url for gateway in both]
        seen = flood(urls, 40)
        server.kill()
        for _ in range(4):
            seen += flood(urls, 40)
        server.start()
        wait_until(lambda: all(each.metric("penstock_counters_up") == 1 for each in both))
        seen += flood(urls, 40)
        assert set(seen) <= {200, 429}
        assert seen[200] >= 160
        rows = entries_when(both[0], lambda rows: len(rows) == sum(seen.values())).values()
        how = Counter(row["outcome"] for row in rows)
        assert how == Counter({"complete": seen[200], "refused": seen[429]}) - Counter()
        assert sum(row["cost_nano_usd"] for row in rows) == 13_000 * seen[200]
