"""The same question many times at once: the engine is asked once, and nobody is left waiting."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fakes.gateway_answers import chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, RawClient, raw_chat
from tests.gateway.registry_gateway import entries_when
from tests.gateway.test_caching import ask, cached_settings, text_of, told

from penstock.gateway.flights import Flights, Lead
from penstock.registry.cache.stored import Stored

MANY = 12
HELD: Any = [Act.WAIT, *plain(completion("Hello you"))]
STREAM = streamed(chat_events(["Hel", "lo", " you"]))
HELD_STREAM: Any = [*STREAM[:3], Act.WAIT, *STREAM[3:]]
ON = b"x-penstock-cache: on\r\n"
LONG = completion("good " * 200_000)


@pytest.fixture
def gateway(tmp_path: Path, engine: ScriptedEngine) -> Iterator[GatewayProcess]:
    with GatewayProcess(cached_settings(engine, tmp_path)) as process:
        yield process


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MANY + 4) as threads:
        yield threads


def counted(gateway: GatewayProcess, result: str) -> float:
    return gateway.metric("penstock_cache_requests_total", result=result)


def waiting(gateway: GatewayProcess, many: int) -> None:
    """Wait until so many requests wait for the first one's answer."""
    wait_until(lambda: gateway.metric("penstock_cache_waiting") == many)


Answers = list["Future[httpx.Response]"]


def asked_by_many(
    crowd: ThreadPoolExecutor, gateway: GatewayProcess, many: int = MANY, **more: Any
) -> Answers:
    streams = more.pop("stream", None)
    return [
        crowd.submit(ask, gateway, stream=bool(number % 2) if streams is None else streams, **more)
        for number in range(many)
    ]


@pytest.mark.parametrize("script", [HELD, HELD_STREAM], ids=["plain", "stream"])
def test_many_at_once_ask_the_engine_once(
    gateway: GatewayProcess, engine: ScriptedEngine, crowd: ThreadPoolExecutor, script: Any
) -> None:
    """Whatever form each of them wants, and whatever form the first one's answer has."""
    engine.play(script)
    first = crowd.submit(ask, gateway, stream=script is HELD_STREAM)
    wait_until(lambda: len(engine.asked) == 1)
    followers = asked_by_many(crowd, gateway)
    waiting(gateway, MANY)
    engine.release()
    answers = [answer.result(60) for answer in (first, *followers)]
    assert [text_of(answer) for answer in answers] == ["Hello you"] * (MANY + 1)
    assert [told(answer) for answer in answers] == ["miss"] + ["hit"] * MANY
    assert len(engine.asked) == 1
    assert (counted(gateway, "miss"), counted(gateway, "joined")) == (1, MANY)
    found = entries_when(gateway, lambda found: len(found) == MANY + 1).values()
    outcomes = sorted(entry["outcome"] for entry in found)
    assert outcomes == ["complete"] + ["from_cache"] * MANY
    assert sum(entry["prompt_tokens"] for entry in found) == 7


def test_tenants_do_not_wait_for_each_other(
    gateway: GatewayProcess, engine: ScriptedEngine, crowd: ThreadPoolExecutor
) -> None:
    engine.play(HELD)
    answers = [crowd.submit(ask, gateway, key=key, tool_choice="none") for key in (BOB, ALICE)]
    wait_until(lambda: len(engine.asked) == 2)
    engine.release()
    assert [told(answer.result(60)) for answer in answers] == ["miss", "miss"]


def test_when_the_first_client_leaves_the_next_one_leads(
    gateway: GatewayProcess, engine: ScriptedEngine, crowd: ThreadPoolExecutor
) -> None:
    engine.play(HELD_STREAM, HELD)
    with gateway.connect() as first:
        first.send(raw_chat(extra=ON, stream=True))
        first.read_until(b"Hel")
        followers = asked_by_many(crowd, gateway)
        waiting(gateway, MANY)
    wait_until(lambda: len(engine.asked) == 2)
    wait_until(lambda: engine.aborted == 1)
    engine.release()
    answers = [answer.result(60) for answer in followers]
    assert [text_of(answer) for answer in answers] == ["Hello you"] * MANY
    assert sorted(told(answer) for answer in answers) == ["hit"] * (MANY - 1) + ["miss"]
    assert len(engine.asked) == 2


def test_who_leaves_while_it_waits_is_on_the_books_and_nobody_else_notices(
    gateway: GatewayProcess, engine: ScriptedEngine, crowd: ThreadPoolExecutor
) -> None:
    engine.play(HELD)
    first = crowd.submit(ask, gateway)
    wait_until(lambda: len(engine.asked) == 1)
    with gateway.connect() as follower:
        follower.send(raw_chat(extra=ON))
        waiting(gateway, 1)
    last = crowd.submit(ask, gateway)
    entries_when(gateway, lambda found: len(found) == 1)
    engine.release()
    assert (told(first.result(60)), told(last.result(60))) == ("miss", "hit")
    found = entries_when(gateway, lambda found: len(found) == 3).values()
    outcomes = sorted(entry["outcome"] for entry in found)
    assert outcomes == ["client_gone", "complete", "from_cache"]


FAILURES: list[Any] = [
    [Act.WAIT, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", Act.DIE],
    [Act.WAIT, *plain({"error": {"message": "no", "type": "x"}}, "400 Bad Request")],
    [Act.WAIT, *plain({"object": "chat.completion", "choices": []})],
    [Act.WAIT, *plain(LONG)],
]


@pytest.mark.parametrize("script", FAILURES, ids=["dies", "refuses", "odd", "too long"])
def test_an_answer_that_cannot_be_shared_lets_all_go(
    gateway: GatewayProcess, engine: ScriptedEngine, crowd: ThreadPoolExecutor, script: Any
) -> None:
    """Each then asks for itself, all at once: a chain of failures would be slower than none."""
    engine.play(script, plain(completion("good")))
    first = crowd.submit(ask, gateway)
    wait_until(lambda: len(engine.asked) == 1)
    followers = asked_by_many(crowd, gateway, 4, stream=False)
    waiting(gateway, 4)
    engine.release()
    first.result(60)
    assert [answer.result(60).json()["choices"][0]["message"]["content"] for answer in followers]
    assert len(engine.asked) == 5
    assert counted(gateway, "joined") == 0


def test_a_client_that_does_not_read_keeps_nobody_waiting(
    gateway: GatewayProcess, engine: ScriptedEngine, crowd: ThreadPoolExecutor
) -> None:
    words = streamed(chat_events(["x" * 50_000] * 400))
    engine.play(words, plain(completion("good")))
    with gateway.connect() as slow:
        slow.send(raw_chat(extra=ON, stream=True))
        slow.read_until(b"\r\n\r\n")
        assert text_of(crowd.submit(ask, gateway, stream=False).result(60)) == "good"
        assert _alive(slow)


def _alive(client: RawClient) -> bool:
    return len(client.read(1000)) == 1000


def test_a_new_question_is_not_answered_by_what_is_over(
    gateway: GatewayProcess, engine: ScriptedEngine, crowd: ThreadPoolExecutor
) -> None:
    """`refresh` neither waits for others nor lets them wait."""
    engine.play(HELD, plain(completion("new")))
    first = crowd.submit(ask, gateway)
    wait_until(lambda: len(engine.asked) == 1)
    fresh = ask(gateway, headers={"x-penstock-cache": "refresh"})
    assert (told(fresh), text_of(fresh)) == ("refresh", "new")
    engine.release()
    first.result(60)


# Whatever happens in whichever order

STORED = Stored(0.0, 1.0, 1, 1, b"{}")


async def test_a_flight_is_over_when_nobody_waits() -> None:
    flights = Flights()
    lead = await flights.join(b"k", lambda: None)
    assert isinstance(lead, Lead)
    lead.leave()
    lead.land(STORED)
    assert len(flights) == 0


async def test_who_is_told_to_lead_and_leaves_at_once_hands_on() -> None:
    flights, renewed = Flights(), []
    lead = await flights.join(b"k", lambda: None)
    assert isinstance(lead, Lead)
    one = asyncio.create_task(flights.join(b"k", lambda: renewed.append(1)))
    two = asyncio.create_task(flights.join(b"k", lambda: renewed.append(2)))
    await asyncio.sleep(0)
    lead.renew()
    assert renewed == [1, 2]
    lead.leave()
    one.cancel()
    next_lead = await two
    assert isinstance(next_lead, Lead)
    assert one.cancelled() or one.cancelling()
    next_lead.land(None)
    assert len(flights) == 0


@pytest.mark.parametrize("answer", [STORED, None])
async def test_only_those_who_still_wait_are_told(answer: Stored | None) -> None:
    flights = Flights()
    lead = await flights.join(b"k", lambda: None)
    assert isinstance(lead, Lead)
    tasks = [asyncio.create_task(flights.join(b"k", lambda: None)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    lead.land(answer)
    lead.stall()
    assert [await tasks[0], await tasks[2]] == [answer, answer]
    assert len(flights) == 0
