"""A model without a copy: requests are held, it is woken once, and everybody is told the truth.

The engine is a script that answers as SageMaker's front door does at zero copies, then as the
model does. The same over real engines and a real alarm: `test_wake.py`.
"""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from tests.engines.sagemaker.test_answers import ASLEEP, front
from tests.fakes.gateway_answers import (
    LAST,
    call_events,
    chat_events,
    completion,
    plain,
    streamed,
)
from tests.fakes.gateway_engine import Act, Script, ScriptedEngine, scripted_engine, wait_until
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, raw_chat, settings_for
from tests.gateway.registry_gateway import entries_when, registry_settings

from penstock.gateway.routing.settings import RoutingSettings
from penstock.gateway.settings import (
    EngineSettings,
    ModelSettings,
    SageMakerSettings,
    Settings,
    ToolSettings,
    WakeSettings,
)
from penstock.registry.records import Budgets, Price

NO_COPY: Script = plain(front(ASLEEP), "400 Bad Request")
AWAKE: Script = plain(completion())
SOON = WakeSettings(timeout_s=60.0, look_every_s=0.05)


@pytest.fixture(scope="module", autouse=True)
def _credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody tells how the endpoint is
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield


@pytest.fixture
def model() -> Iterator[ScriptedEngine]:
    with scripted_engine() as engine:
        engine.play(NO_COPY)
        yield engine
        engine.release()


def sleeping(
    model: ScriptedEngine, wake: WakeSettings = SOON, made: Settings | None = None, **more: Any
) -> Settings:
    """A gateway with `scripted` at an endpoint that may sleep."""
    made = made or settings_for({}, **more)
    place = SageMakerSettings("ep", "eu-west-1", "ic", wake)
    mine = ModelSettings(
        "scripted", ("cloud",), context=2048, upstream="", routing=RoutingSettings(),
        price=Price.per_million(1.0, 0.5, 2.0),
    )  # fmt: skip
    return replace(
        made, engines=(EngineSettings("cloud", model.url, sagemaker=place),), models=(mine,)
    )


def asks(gateway: GatewayProcess, many: int) -> list[Future[httpx.Response]]:
    """So many requests at once, each in a thread of its own."""
    pool = ThreadPoolExecutor(many)
    found = [pool.submit(gateway.chat, f"{number}", BOB) for number in range(many)]
    pool.shutdown(wait=False)
    return found


def held(gateway: GatewayProcess) -> float:
    return gateway.metric("penstock_held_requests", engine="cloud")


def test_a_hundred_requests_wake_it_once_and_are_all_answered(model: ScriptedEngine) -> None:
    with GatewayProcess(sleeping(model, replace(SOON, look_every_s=0.2))) as gateway:
        first = asks(gateway, 1)
        wait_until(lambda: held(gateway) == 1)
        since_s = time.monotonic()
        rest = asks(gateway, 99)
        wait_until(lambda: held(gateway) == 100)
        model.play([Act.WAIT, *NO_COPY])
        wait_until(lambda: model.running)  # the last looks that find it asleep
        before = len(model.asked)
        looks = (time.monotonic() - since_s) / 0.2
        model.play(AWAKE)
        late = (time.monotonic() - since_s) / 0.2 - looks  # before it was told to be awake
        model.release()
        answers = [each.result(60) for each in (*first, *rest)]
        assert [answer.status_code for answer in answers] == [200] * 100
        assert gateway.metric("penstock_wakes_total", engine="cloud") == 1
        assert gateway.metric("penstock_held_total", engine="cloud", outcome="answered") == 100
        assert held(gateway) == 0
        assert gateway.metric("penstock_engine_asleep", engine="cloud") == 0
        assert gateway.metric("penstock_requests_total", outcome="complete") == 100
        # While it slept one request at a time went to see, and not one a client.
        assert before < 10 + looks
        # Each was asked once more when it was awake, but for the one that saw it first.
        assert 100 <= len(model.asked) - before <= 101 + late


def test_a_refusal_that_comes_late_does_not_put_it_to_sleep_again(model: ScriptedEngine) -> None:
    """One look is refused slowly, and meanwhile another one is answered."""
    with GatewayProcess(sleeping(model)) as gateway:
        both = asks(gateway, 2)
        wait_until(lambda: held(gateway) == 2)
        model.play([Act.WAIT, *NO_COPY], AWAKE)
        wait_until(lambda: any(each.done() for each in both))
        model.release()
        assert [each.result(60).status_code for each in both] == [200] * 2
        assert gateway.metric("penstock_wakes_total", engine="cloud") == 1


def test_a_storm_that_comes_before_it_is_known_to_sleep(model: ScriptedEngine) -> None:
    with GatewayProcess(sleeping(model)) as gateway:
        storm = asks(gateway, 40)
        wait_until(lambda: held(gateway) == 40)
        model.play(AWAKE)
        assert [each.result(60).status_code for each in storm] == [200] * 40
        assert gateway.metric("penstock_wakes_total", engine="cloud") == 1


def test_after_the_deadline_it_says_when_to_come_back(
    model: ScriptedEngine, tmp_path: Path
) -> None:
    made = registry_settings({}, tmp_path / "usage", str(tmp_path / "registry.db"),
                             bob=Budgets(tokens_per_day=3000))  # fmt: skip
    short = replace(SOON, timeout_s=0.3)
    with GatewayProcess(sleeping(model, short, made)) as gateway:
        for _ in range(3):  # each reserves more than a third of the budget, and gives it back
            refused = gateway.chat("hi", BOB, max_tokens=1500)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "30"
            error = refused.json()["error"]
            assert error["code"] == "model_asleep"
            assert "0.3 s" in error["message"]
            assert "ep" not in error["message"].split()
        assert gateway.metric("penstock_held_total", outcome="late") == 3
        assert held(gateway) == 0
        lines = entries_when(gateway, lambda found: len(found) == 3)
        assert {line["outcome"] for line in lines.values()} == {"refused"}
        assert sum(line["prompt_tokens"] + line["cost_nano_usd"] for line in lines.values()) == 0
        model.play(AWAKE)
        wait_until(lambda: gateway.chat("hi", BOB, max_tokens=1500).status_code == 200)


def test_a_client_that_leaves_gives_its_place_up(model: ScriptedEngine) -> None:
    few = replace(SOON, max_held=2)
    with GatewayProcess(sleeping(model, few)) as gateway, gateway.connect() as one:
        one.send(raw_chat())
        stays = asks(gateway, 1)[0]
        wait_until(lambda: held(gateway) == 2)
        full = gateway.chat()
        assert full.status_code == 503
        assert full.headers["retry-after"] == "30"
        assert "2 requests wait for it already" in full.text
        one.socket.close()
        wait_until(lambda: held(gateway) == 1)
        assert gateway.metric("penstock_held_total", outcome="gone") == 1
        another = asks(gateway, 1)[0]
        wait_until(lambda: held(gateway) == 2)
        model.play(AWAKE)
        assert stays.result(60).status_code == another.result(60).status_code == 200
        assert gateway.metric("penstock_requests_total", outcome="client_gone") == 1


def test_when_all_have_left_the_next_one_looks(model: ScriptedEngine) -> None:
    with GatewayProcess(sleeping(model)) as gateway:
        with gateway.connect() as one:
            one.send(raw_chat())
            wait_until(lambda: held(gateway) == 1)
        wait_until(lambda: held(gateway) == 0)
        quiet = len(model.asked) + 1  # a look may be on its way
        time.sleep(0.5)
        assert len(model.asked) <= quiet, "nobody waits, and it is asked all the same"
        model.play(AWAKE)
        assert gateway.chat().status_code == 200


def test_none_is_held_where_the_manifest_says_so(model: ScriptedEngine) -> None:
    with GatewayProcess(sleeping(model, replace(SOON, timeout_s=0.0))) as gateway:
        refused = gateway.chat()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_asleep")
        model.play(AWAKE)
        wait_until(lambda: gateway.chat().status_code == 200)


def test_a_stream_is_shown_that_it_is_held(model: ScriptedEngine) -> None:
    beating = replace(SOON, heartbeat_s=0.1)
    with GatewayProcess(sleeping(model, beating)) as gateway, gateway.connect() as client:
        client.send(raw_chat(stream=True))
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        for _ in range(3):
            client.read_until(b": penstock.waking\n\n")
        model.play(streamed(chat_events(["Hello"])))
        rest = client.read_until(LAST)
        assert b"Hello" in rest
        assert b"[DONE]" in rest
        assert b"HTTP/1.1" not in rest
        assert gateway.metric("penstock_ttft_seconds_count") == 1


def test_the_sdk_does_not_mind_the_comments(model: ScriptedEngine) -> None:
    beating = replace(SOON, heartbeat_s=0.05)
    with GatewayProcess(sleeping(model, beating)) as gateway, gateway.sdk(BOB) as sdk:
        stream = sdk.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        model.play(streamed(chat_events(["Hel", "lo"])))
        assert "".join(e.choices[0].delta.content or "" for e in stream if e.choices) == "Hello"


@pytest.mark.parametrize("then", [NO_COPY, plain(front("x"), "500 Oh"), plain(b"no", "422 No")])
def test_what_goes_wrong_after_a_heartbeat_stands_in_the_stream(
    model: ScriptedEngine, then: Script
) -> None:
    beating = replace(SOON, heartbeat_s=0.05, timeout_s=0.6 if then is NO_COPY else 60.0)
    with GatewayProcess(sleeping(model, beating)) as gateway, gateway.connect() as client:
        client.send(raw_chat(stream=True))
        client.read_until(b": penstock.waking\n\n")
        model.play(then)
        rest = client.read_until(LAST)
        assert rest.count(b'"error"') == 1
        assert b"[DONE]" not in rest
        model.play(AWAKE)  # the connection of others is as good as before
        wait_until(lambda: gateway.chat().status_code == 200)


def test_a_look_that_fails_costs_one_request_and_not_all(model: ScriptedEngine) -> None:
    with GatewayProcess(sleeping(model, replace(SOON, look_every_s=0.3))) as gateway:
        several = asks(gateway, 5)
        wait_until(lambda: held(gateway) == 5)
        model.play(plain(front("Internal failure"), "500 Internal Server Error"), NO_COPY)
        wait_until(lambda: held(gateway) == 4)
        model.play(AWAKE)
        told = sorted(each.result(60).status_code for each in several)
        assert told == [200] * 4 + [502]
        assert gateway.metric("penstock_held_total", outcome="failed") == 1


def test_a_stand_in_answers_meanwhile(model: ScriptedEngine) -> None:
    with scripted_engine() as other:
        other.play(streamed(chat_events(["meanwhile"])))
        made = sleeping(model, replace(SOON, look_every_s=0.05))
        mine = replace(made.models[0], routing=RoutingSettings(fallback=("other",)))
        made = replace(
            made,
            engines=(*made.engines, EngineSettings("other", other.url)),
            models=(mine, ModelSettings("other", ("other",), context=2048)),
        )
        with GatewayProcess(made) as gateway:
            for _ in range(3):
                answer = gateway.chat("hi", ALICE)
                assert answer.status_code == 200, answer.text
                assert answer.json()["choices"][0]["message"]["content"] == "meanwhile"
                assert "instead=scripted model=other" in answer.headers["x-penstock-route"]
            assert held(gateway) == 0
            model.play(streamed(chat_events(["awake"])))

            def awake() -> bool:
                said = gateway.chat("hi", ALICE).json()["choices"][0]["message"]["content"]
                return bool(said == "awake")

            wait_until(awake)


def test_a_turn_with_tools_has_its_time_after_it_was_held(model: ScriptedEngine) -> None:
    """Its rounds are bounded by 3 s, and it is held for longer than that."""
    asked = call_events(("call-1", "calculate_math", json.dumps({"expression": "6*7"})))
    tools = ToolSettings(turn_timeout_s=3.0)
    with GatewayProcess(sleeping(model, tools=tools)) as gateway:
        turn = ThreadPoolExecutor(1).submit(gateway.chat, "6*7?", ALICE)
        wait_until(lambda: held(gateway) == 1)
        time.sleep(3.1)
        model.play(streamed(asked), streamed(chat_events(["42"])))
        answer = turn.result(60)
        assert answer.json()["choices"][0]["message"]["content"] == "42"
        assert gateway.metric("tool_calls_total", outcome="ok") == 1
        assert b'"tools"' in model.asked[-1].body, "its time was over before it began"


def test_a_turn_is_shown_that_it_is_held_too(model: ScriptedEngine) -> None:
    with GatewayProcess(sleeping(model, replace(SOON, heartbeat_s=0.1))) as gateway:
        sdk_key = ALICE.encode()
        with gateway.connect() as client:
            client.send(raw_chat(stream=True).replace(BOB.encode(), sdk_key))
            client.read_until(b": penstock.waking\n\n")
            model.play(streamed(chat_events(["Hello"])))
            rest = client.read_until(LAST)
        assert b"Hello" in rest
        assert rest.count(b"HTTP/1.1") == 0
        assert b"[DONE]" in rest


def test_an_answer_has_its_whole_time_after_it_was_held(model: ScriptedEngine) -> None:
    with GatewayProcess(sleeping(model, request_timeout_s=5.0)) as gateway:
        slow = asks(gateway, 1)[0]
        wait_until(lambda: held(gateway) == 1)
        time.sleep(5.1)
        model.play([Act.WAIT, *AWAKE])
        wait_until(lambda: model.running == 1)
        threading.Timer(0.3, model.release).start()
        assert slow.result(60).status_code == 200


def test_a_gateway_that_ends_tells_those_it_holds(model: ScriptedEngine) -> None:
    with GatewayProcess(sleeping(model, drain_s=0.0)) as gateway:
        waiting = asks(gateway, 3)
        wait_until(lambda: held(gateway) == 3)
        gateway.process.terminate()
        told = [each.result(60).status_code for each in waiting]
    assert told == [504] * 3


def test_words_of_a_client_do_not_put_it_to_sleep(model: ScriptedEngine) -> None:
    """The container repeats what it was sent; the front door quotes that."""
    said = json.dumps({"error": {"message": ASLEEP, "type": "BadRequestError", "code": 400}})
    quoted = f'Received client error (400) from primary with message "{said}"'
    model.play(plain(front(quoted, "model_error"), "400 Bad Request"))
    with GatewayProcess(sleeping(model)) as gateway:
        answer = gateway.chat()
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, ASLEEP)
        assert gateway.metric("penstock_wakes_total") == 0
