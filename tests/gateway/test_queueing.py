"""The fair queue over sockets: engines that are full, tenants that take turns."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.fakes.gateway_answers import call_events, chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.gateway.gateway_process import (
    ALICE,
    BOB,
    GatewayProcess,
    RawClient,
    chat_body,
    raw_chat,
    settings_for,
)
from tests.gateway.registry_gateway import entries_when, registry_settings

from penstock.gateway.settings import QueueSettings, ToolSettings


@contextmanager
def gateway_over(
    engine: ScriptedEngine, queue: QueueSettings, weather: ScriptedEngine | None = None
) -> Iterator[GatewayProcess]:
    tools = ToolSettings(weather_url=weather.url if weather else None, call_timeout_s=8.0)
    settings = settings_for({"engine": engine.url}, queue=queue, tools=tools)
    with GatewayProcess(settings) as process:
        yield process


@pytest.fixture
def one_at_a_time(engine: ScriptedEngine, weather: ScriptedEngine) -> Iterator[GatewayProcess]:
    with gateway_over(engine, QueueSettings(1), weather) as process:
        yield process


class Asking:
    """A request in a thread of its own."""

    def __init__(self, ask: Callable[[], httpx.Response]) -> None:
        self.answer: httpx.Response | None = None

        def run() -> None:
            self.answer = ask()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def result(self) -> httpx.Response:
        self._thread.join(60)
        assert self.answer is not None
        return self.answer


def waiting(gateway: GatewayProcess) -> float:
    return gateway.metric("penstock_queue_length")


@pytest.mark.parametrize("stream", [False, True])
def test_no_more_run_than_the_engine_takes(engine: ScriptedEngine, stream: bool) -> None:
    answer = streamed(chat_events(["x"])) if stream else plain(completion())
    engine.play([Act.WAIT, *answer])
    with gateway_over(engine, QueueSettings(2)) as gateway:
        asking = [Asking(lambda: gateway.chat(stream=stream)) for _ in range(6)]
        wait_until(lambda: waiting(gateway) == 4)
        wait_until(lambda: engine.waiting == 2)
        assert engine.running == 2
        assert gateway.metric("penstock_queue_length", tenant="bob") == 4
        engine.release()
        answers = [each.result() for each in asking]
        assert [each.status_code for each in answers] == [200] * 6
        assert len({each.text for each in answers}) == 1
        assert gateway.metric("penstock_queue_seconds_count", tenant="bob") == 4
        assert waiting(gateway) == 0


def test_the_ledger_tells_how_long_who_waited(engine: ScriptedEngine, tmp_path: Path) -> None:
    """Of a request and of a turn; who did not wait has no such note."""
    engine.play([Act.WAIT, *streamed(chat_events(["x"]))])
    settings = registry_settings({"engine": engine.url}, tmp_path, str(tmp_path / "r.db"))
    settings = msgspec.structs.replace(settings, queue=QueueSettings(1))
    with GatewayProcess(settings) as gateway:
        first = Asking(lambda: gateway.chat(stream=True))
        wait_until(lambda: engine.running == 1)
        asking = [Asking(partial(gateway.chat, key=key, stream=True)) for key in (BOB, ALICE)]
        wait_until(lambda: waiting(gateway) == 2)
        time.sleep(0.05)
        engine.release()
        ids = [each.result().headers["x-request-id"] for each in (first, *asking)]
        found = entries_when(gateway, lambda found: len(found) == 3)
    notes = [found[each]["note"] for each in ids]
    assert notes[0] == ""
    for note in notes[1:]:
        waited = re.fullmatch(r"queued=(\d+)ms", note)
        assert waited is not None, note
        assert int(waited[1]) >= 50


def test_an_adapter_shares_the_places_of_its_model(engine: ScriptedEngine) -> None:
    engine.play([Act.WAIT, *plain(completion())])
    with gateway_over(engine, QueueSettings(1)) as gateway:
        first = Asking(lambda: gateway.chat(key=ALICE, tool_choice="none"))
        wait_until(lambda: engine.running == 1)
        second = Asking(lambda: gateway.chat(key=ALICE, model="org-a", tool_choice="none"))
        wait_until(lambda: waiting(gateway) == 1)
        engine.release()
        assert first.result().status_code == second.result().status_code == 200


def test_who_waits_too_long_is_told_when_to_come_back(engine: ScriptedEngine) -> None:
    engine.play([Act.WAIT, *plain(completion())])
    with gateway_over(engine, QueueSettings(1, max_wait_s=0.2)) as gateway:
        first = Asking(gateway.chat)
        wait_until(lambda: engine.running == 1)
        refused = gateway.chat()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "overloaded"
        assert "no place became free in 0.2 s" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after"]) >= 1
        with_tools = gateway.chat(key=ALICE, stream=True)
        assert (with_tools.status_code, with_tools.json()["error"]["code"]) == (503, "overloaded")
        invoked = gateway.post("/invoke", {"prompt": "x"}, BOB)
        assert (invoked.status_code, invoked.headers["retry-after"]) == (503, "1")
        engine.release()
        assert first.result().status_code == 200
        assert gateway.chat().status_code == 200
        assert gateway.metric("penstock_requests_total", outcome="refused") == 3


def test_one_tenant_fills_its_own_part_of_the_queue(engine: ScriptedEngine) -> None:
    engine.play([Act.WAIT, *plain(completion())])
    queue = QueueSettings(1, max_waiting=3, max_waiting_per_tenant=2)
    with gateway_over(engine, queue) as gateway, ExitStack() as stack:
        asking = [Asking(gateway.chat) for _ in range(3)]
        wait_until(lambda: waiting(gateway) == 2)
        refused = gateway.chat()
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            429,
            "rate_limit_exceeded",
        )
        assert "retry-after" in refused.headers
        stack.callback(engine.release)
        asking.append(Asking(lambda: gateway.chat(key=ALICE, tool_choice="none")))
        wait_until(lambda: waiting(gateway) == 3)
        full = gateway.chat(key=ALICE)
        assert (full.status_code, full.json()["error"]["code"]) == (503, "overloaded")
        stack.close()
        assert [each.result().status_code for each in asking] == [200] * 4


def test_who_leaves_gives_the_place_back(
    one_at_a_time: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT, *plain(completion())])
    first = Asking(one_at_a_time.chat)
    wait_until(lambda: engine.running == 1)

    def give_up(client: RawClient, of: int) -> None:
        client.send(raw_chat())
        wait_until(lambda: waiting(one_at_a_time) == of)

    with one_at_a_time.connect() as left:
        give_up(left, 1)
        second = Asking(one_at_a_time.chat)
        wait_until(lambda: waiting(one_at_a_time) == 2)
    wait_until(lambda: waiting(one_at_a_time) == 1)
    engine.release()
    assert first.result().status_code == second.result().status_code == 200
    assert len(engine.asked) == 2
    assert one_at_a_time.metric("penstock_requests_total", outcome="client_gone") == 1


def test_who_leaves_the_engine_makes_room(
    one_at_a_time: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT], plain(completion()))
    with one_at_a_time.connect() as first:
        first.send(raw_chat())
        wait_until(lambda: engine.running == 1)
        second = Asking(one_at_a_time.chat)
        wait_until(lambda: waiting(one_at_a_time) == 1)
    assert second.result().status_code == 200


def test_a_turn_holds_no_place_while_its_tools_run(
    one_at_a_time: GatewayProcess, engine: ScriptedEngine, weather: ScriptedEngine
) -> None:
    call = ("call-1", "get_current_weather", '{"location": "Paris"}')
    engine.play(
        streamed(call_events(call)), plain(completion()), streamed(chat_events(["Sunny."]))
    )
    weather.play([Act.WAIT, *plain({}, "500 Internal Server Error")])
    turn = Asking(lambda: one_at_a_time.chat(key=ALICE))
    wait_until(lambda: weather.running == 1)
    assert one_at_a_time.chat().status_code == 200
    weather.release()
    assert turn.result().json()["choices"][0]["message"]["content"] == "Sunny."
    assert len(engine.asked) == 3


def test_a_turn_that_is_left_while_it_waits_gives_its_place_back(
    one_at_a_time: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT, *plain(completion())], streamed(chat_events(["x"])))
    first = Asking(one_at_a_time.chat)
    wait_until(lambda: engine.running == 1)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{one_at_a_time.url}/v1/chat/completions",
            json=chat_body(),
            headers={"x-api-key": ALICE},
            timeout=httpx.Timeout(5, read=0.3),
        )
    wait_until(lambda: waiting(one_at_a_time) == 0)
    engine.release()
    assert first.result().status_code == 200
    assert one_at_a_time.chat(key=ALICE).status_code == 200


def test_a_request_that_takes_too_long_in_the_queue_is_ended(engine: ScriptedEngine) -> None:
    engine.play([Act.WAIT, *plain(completion())])
    settings = settings_for({"engine": engine.url}, queue=QueueSettings(1), request_timeout_s=1.0)
    with GatewayProcess(settings) as gateway:
        with gateway.connect() as first:
            first.send(raw_chat())
            wait_until(lambda: engine.asked)  # it may be ended before anybody looks
            late = gateway.chat()
        assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
        engine.release()
        wait_until(lambda: gateway.chat().status_code == 200)
        assert waiting(gateway) == 0


def test_an_engine_that_dies_leaves_no_place_taken(
    one_at_a_time: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT, Act.DIE])
    asking = [Asking(one_at_a_time.chat) for _ in range(5)]
    wait_until(lambda: waiting(one_at_a_time) == 4)
    engine.release()
    assert {each.result().status_code for each in asking} <= {502, 503}
    engine.play(plain(completion()))
    wait_until(lambda: one_at_a_time.chat().status_code == 200)
