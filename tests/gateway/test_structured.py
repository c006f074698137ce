"""Structured outputs over HTTP and under the real SDK, and with the real vLLM."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pydantic
import pytest
from openai import UnprocessableEntityError
from tests.fakes.gateway_answers import (
    call_events,
    chat_events,
    completion,
    plain,
    streamed,
)
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, settings_for
from tests.gateway.real_engines import NAME, RealEngine

HI: Any = [{"role": "user", "content": "hi"}]
MATHS = ("call-1", "calculate_math", '{"expression": "6*7"}')
GOOD, BAD = ['{"city": "Rome", ', '"people": 3}'], ['{"city": 4}']


class Place(pydantic.BaseModel):
    """What is asked for."""

    city: str
    people: int


FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "Place", "schema": Place.model_json_schema()},
}


def test_the_sdk_parses_what_was_repaired(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play(streamed(chat_events(BAD)), streamed(chat_events(GOOD)))
    done = gateway.sdk(BOB).chat.completions.parse(
        model="judged", messages=HI, response_format=Place
    )
    assert done.choices[0].message.parsed == Place(city="Rome", people=3)
    assert done.usage is not None
    assert done.usage.total_tokens == 20
    assert len(engine.asked) == 2


def test_a_stream_begins_when_the_answer_is_known_to_fit(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(chat_events(BAD)), streamed(chat_events(GOOD)))
    completions: Any = gateway.sdk(BOB).chat.completions
    with completions.stream(model="judged", messages=HI, response_format=Place) as events:
        done = events.get_final_completion()
    assert done.choices[0].message.parsed == Place(city="Rome", people=3)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_never_fits_is_an_honest_error_and_is_billed(
    gateway: GatewayProcess, engine: ScriptedEngine, stream: bool
) -> None:
    engine.play(streamed(chat_events(BAD)))
    labels = {"tenant": "bob", "model": "judged"}
    before = gateway.metric("penstock_tokens_total", **labels)
    with gateway.sdk(BOB) as sdk, pytest.raises(UnprocessableEntityError) as caught:
        sdk.chat.completions.create(
            model="judged",
            messages=HI,
            stream=stream,
            response_format=FORMAT,  # type: ignore[call-overload]
        )
    error = caught.value
    assert (error.code, error.param) == ("schema_not_met", "response_format")
    assert "(at /city)" in error.message
    assert isinstance(error.body, dict)
    assert error.body["usage"] == {
        "prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20
    }  # fmt: skip
    assert gateway.metric("penstock_tokens_total", **labels) == before + 20
    outcome = {"outcome": "schema_not_met", **labels}
    wait_until(lambda: gateway.metric("penstock_requests_total", **outcome) >= 1)


def test_a_stream_whose_tools_were_told_of_ends_with_the_error(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(call_events(MATHS)), streamed(chat_events(["prose"])))
    answer = gateway.chat(key=ALICE, model="judged", stream=True, response_format=FORMAT)
    assert answer.status_code == 200
    last = [line for line in answer.text.splitlines() if line.startswith("data: ")][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "schema_not_met"
    assert "prose" not in answer.text.replace(last, "")


def test_it_goes_together_with_tools(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play(
        streamed(call_events(MATHS)), streamed(chat_events(["prose"])), streamed(chat_events(GOOD))
    )
    body = gateway.chat(key=ALICE, model="judged", response_format=FORMAT).json()
    assert json.loads(body["choices"][0]["message"]["content"]) == {"city": "Rome", "people": 3}
    assert (body["metadata"], body["repaired"]) == ({"tool_rounds": 1}, True)
    assert [len(asked.json["messages"]) for asked in engine.asked] == [1, 3, 5]


def test_a_bad_schema_is_refused(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "strin"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = gateway.chat(model="judged", response_format=asked)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (
        "invalid_schema",
        "response_format.json_schema.schema",
    )
    assert "(at /properties/a/type)" in error["message"]
    assert not engine.asked
    refused = gateway.chat(model="judged", response_format=FORMAT, n=2)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "n")


@pytest.mark.parametrize(
    ("model", "asked"),
    [("scripted", FORMAT), ("judged", {"type": "text"}), ("judged", None)],
)
def test_what_is_not_judged_passes_untouched(
    gateway: GatewayProcess, engine: ScriptedEngine, model: str, asked: Any
) -> None:
    engine.play(plain(completion("prose")))
    answer = gateway.chat(model=model, response_format=asked)
    assert answer.json() == completion("prose")
    assert engine.asked[0].json["response_format"] == asked
    assert "stream" not in engine.asked[0].json


def test_a_client_that_leaves_while_it_waits_frees_the_engine(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([*streamed(chat_events(BAD))[:2], Act.WAIT])
    body = json.dumps({"model": "judged", "messages": HI, "response_format": FORMAT}).encode()
    with gateway.connect() as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n" % BOB.encode())
        client.send(b"content-length: %d\r\n\r\n%b" % (len(body), body))
        wait_until(lambda: engine.running == 1)
    wait_until(lambda: engine.aborted == 1)


COLOUR: Any = {
    "type": "json_schema",
    "json_schema": {"name": "colour", "schema": {"enum": ["red", "green"]}},
}
"""Without a place for blanks, with which a tiny model would fill an object for ever."""


@pytest.fixture(scope="module")
def judged(real: RealEngine) -> Iterator[GatewayProcess]:
    settings = settings_for({"engine": real.url}, NAME)
    guided = real.kind != "embedded"
    model = msgspec.structs.replace(
        settings.models[0], verify_answers=guided, takes_formats=guided
    )
    with GatewayProcess(msgspec.structs.replace(settings, models=(model,))) as process:
        yield process


@pytest.mark.parametrize("key", [ALICE, BOB])
@pytest.mark.parametrize("stream", [True, False])
def test_a_real_engine(judged: GatewayProcess, real: RealEngine, key: str, stream: bool) -> None:
    """vLLM is guided to what fits, also after the tools were offered; the embedded one refuses."""
    asked = {"model": NAME, "messages": HI, "response_format": COLOUR, "max_tokens": 60}
    if real.kind == "embedded":
        refused = judged.post("/v1/chat/completions", {**asked, "stream": stream}, key)
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert (error["param"], error["code"]) == ("response_format", "unsupported_parameter")
        assert "engine.kind: vllm" in error["message"]
        text = {**asked, "response_format": {"type": "text"}}
        assert judged.post("/v1/chat/completions", text, key).status_code == 200
        return
    completions: Any = judged.sdk(key).chat.completions
    if stream:
        with completions.stream(**asked) as events:
            done = events.get_final_completion()
    else:
        done = completions.create(**asked)
    assert json.loads(done.choices[0].message.content) in ("red", "green")
