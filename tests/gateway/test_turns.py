"""The gateway's own tools: the loop over HTTP, plain and streamed, and its ends."""

import json
from typing import Any

import pytest
from openai import APIError
from openai.types.chat import ChatCompletionMessageParam
from tests.fakes.gateway_answers import (
    DONE,
    LAST,
    STREAM_HEAD,
    call_events,
    chat_events,
    chunk,
    completion,
    delta,
    plain,
    streamed,
)
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, chat_body

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
MATHS = ("call-1", "calculate_math", '{"expression": "6*7"}')
WEATHER = ("call-2", "get_current_weather", '{"location": "Paris"}')
SEARCH = ("call-3", "search_database", '{"query": "lamp"}')


def test_tools_are_run_and_the_answer_is_made(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(call_events(MATHS, SEARCH)), streamed(chat_events(["It is ", "42."])))
    answer = gateway.chat(key=ALICE)
    assert answer.status_code == 200
    body = answer.json()
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "It is 42."}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20}
    assert body["metadata"] == {"tool_rounds": 1}
    first, second = (asked.json for asked in engine.asked)
    assert {tool["function"]["name"] for tool in first["tools"]} == {
        "get_current_weather",
        "calculate_math",
        "search_database",
    }
    asked, maths, search = second["messages"][1:]
    assert [call["id"] for call in asked["tool_calls"]] == ["call-1", "call-3"]
    assert json.loads(maths["content"]) == {"expression": "6*7", "result": 42}
    assert json.loads(search["content"])["count"] > 0


def test_a_stream_tells_of_its_tools_in_comments(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(call_events(MATHS)), streamed(chat_events(["42", "."])))
    answer = gateway.chat(key=ALICE, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    notes = [line for line in answer.text.splitlines() if line.startswith(": penstock.tool ")]
    told = [json.loads(line.removeprefix(": penstock.tool ")) for line in notes]
    assert [note["status"] for note in told] == ["started", "ok"]
    assert answer.content.endswith(DONE)
    assert "tool_calls" not in answer.text
    assert '"usage"' not in answer.text


def test_the_sdk_reads_a_stream_with_tools(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(call_events(MATHS)), streamed(chat_events(["42", "."])))
    stream = gateway.sdk().chat.completions.create(
        model="scripted", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "42."
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 20


def test_any_cut_of_a_tool_call_gives_the_same(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    whole = b"".join(streamed(call_events(MATHS)))
    last = streamed(chat_events(["42"]))
    answers = set()
    for at in range(1, len(whole), 41):
        engine.play([whole[:at], whole[at:]], last)
        got = gateway.chat(key=ALICE)
        answers.add(got.json()["choices"][0]["message"]["content"])
        assert engine.asked[-1].json["messages"][1]["tool_calls"][0]["function"] == {
            "name": "calculate_math",
            "arguments": '{"expression": "6*7"}',
        }
    assert answers == {"42"}


def test_calls_of_the_client_s_tools_are_handed_back(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    """The gateway's stand beside them for alice; bob has none, so his request passes through."""
    mine = {"type": "function", "function": {"name": "mine", "parameters": {}}}
    engine.play(streamed(call_events(("call-9", "mine", "{}"))))
    for key, offered in ((ALICE, 4), (BOB, 1)):
        answer = gateway.chat(key=key, stream=True, tools=[mine])
        assert '"tool_calls"' in answer.text
        assert '"call-9"' in answer.text
        assert len(engine.asked[-1].json["tools"]) == offered
        assert mine in engine.asked[-1].json["tools"]


def test_a_client_tool_may_not_have_the_name_of_a_gateway_tool(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    theirs = {"type": "function", "function": {"name": "calculate_math", "parameters": {}}}
    refused = gateway.chat(key=ALICE, tools=[theirs])
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "tool_name_taken"
    assert gateway.chat(key=BOB, tools=[theirs]).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_the_sdk_resumes_a_mixed_round(
    gateway: GatewayProcess, engine: ScriptedEngine, stream: bool
) -> None:
    """The client sends back what the SDK gave it; the model sees what the gateway did besides."""
    mine: Any = {"type": "function", "function": {"name": "mine", "parameters": {}}}
    sdk: Any = gateway.sdk()
    engine.play(streamed(call_events(MATHS, ("call-9", "mine", "{}"))))
    if stream:
        with sdk.chat.completions.stream(model="scripted", messages=HI, tools=[mine]) as events:
            done = events.get_final_completion()
    else:
        done = sdk.chat.completions.create(model="scripted", messages=HI, tools=[mine])
    message = done.choices[0].message
    assert done.choices[0].finish_reason == "tool_calls"
    assert [call.function.name for call in message.tool_calls or ()] == ["mine"]
    theirs = message.tool_calls[0]
    engine.play(streamed(chat_events(["42"])))
    told = {"role": "tool", "tool_call_id": theirs.id, "content": "seen"}
    again = sdk.chat.completions.create(
        model="scripted", messages=[*HI, message, told], tools=[mine]
    )
    assert again.choices[0].message.content == "42"
    asked, ours, result = engine.asked[-1].json["messages"][1:]
    assert [call["id"] for call in asked["tool_calls"]] == [MATHS[0], "call-9"]
    assert ours["tool_call_id"] == MATHS[0]
    assert "42" in ours["content"]
    assert result == {"role": "tool", "tool_call_id": "call-9", "content": "seen"}
    body = {"model": "scripted", "messages": [*HI, message.model_dump(mode="json"), told]}
    assert gateway.post("/v1/chat/completions", body, BOB).status_code == 400


@pytest.mark.parametrize("choice", ["none", "required"])
def test_a_client_may_forbid_tools_or_ask_for_one(
    gateway: GatewayProcess, engine: ScriptedEngine, choice: str
) -> None:
    engine.play(streamed(chat_events(["Hi"])) if choice == "required" else plain(completion()))
    assert gateway.chat(key=ALICE, tool_choice=choice).status_code == 200
    assert ("tools" in engine.asked[0].json) is (choice == "required")


def test_rounds_are_bounded(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play(streamed(call_events(MATHS)))
    body = gateway.chat(key=ALICE).json()
    assert body["metadata"] == {"tool_rounds": 3, "bound": "rounds"}
    assert len(engine.asked) == 4
    assert "tools" not in engine.asked[-1].json


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_during_a_call_cancels_it(
    gateway: GatewayProcess, engine: ScriptedEngine, weather: ScriptedEngine, stream: bool
) -> None:
    engine.play(streamed(call_events(WEATHER)))
    weather.play([Act.WAIT])
    before = gateway.metric("penstock_requests_total", tenant="alice", outcome="client_gone")
    body = json.dumps(chat_body(stream=stream)).encode()
    with gateway.connect() as client:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n" % ALICE.encode()
        client.send(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        wait_until(lambda: weather.running == 1)
    wait_until(lambda: weather.aborted == 1)
    assert len(engine.asked) == 1

    def gone() -> bool:
        now = gateway.metric("penstock_requests_total", tenant="alice", outcome="client_gone")
        return now == before + 1

    wait_until(gone)


@pytest.mark.parametrize("path", ["/invoke", "/v1/chat/completions"])
def test_a_client_that_leaves_frees_the_engine(
    gateway: GatewayProcess, engine: ScriptedEngine, path: str
) -> None:
    engine.play([STREAM_HEAD, chunk(delta("a")), Act.WAIT])
    body = b'{"prompt": "hi"}' if path == "/invoke" else json.dumps(chat_body()).encode()
    with gateway.connect() as client:
        client.send(b"POST %b HTTP/1.1\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n%b"
                    % (path.encode(), ALICE.encode(), len(body), body))  # fmt: skip
        wait_until(lambda: engine.running == 1)
    wait_until(lambda: engine.aborted == 1)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ([Act.DIE], 502, "engine_died"),
        ([STREAM_HEAD, Act.DIE], 502, "engine_died"),
        (plain(b"nope", "500 Oh"), 502, "engine_error"),
        (plain({"error": {"message": "too long", "code": "x"}}, "400 Bad"), 400, "x"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_engine_that_fails_before_the_first_byte(
    gateway: GatewayProcess, engine: ScriptedEngine, script: list[bytes], status: int, code: str,
    stream: bool,
) -> None:  # fmt: skip
    engine.play(script)
    answer = gateway.chat(key=ALICE, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_an_engine_that_dies_in_the_second_round(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(call_events(MATHS)), [STREAM_HEAD, chunk(delta("a")), Act.DIE])
    assert gateway.chat(key=ALICE).status_code == 502
    engine.play(streamed(call_events(MATHS)), [STREAM_HEAD, chunk(delta("a")), Act.DIE])
    answer = gateway.chat(key=ALICE, stream=True)
    assert answer.status_code == 200
    assert '"code":"engine_died"' in answer.text
    assert "[DONE]" not in answer.text
    stream = gateway.sdk().chat.completions.create(model="scripted", messages=HI, stream=True)
    with pytest.raises(APIError, match="went away"):
        list(stream)


@pytest.mark.parametrize(
    ("more", "param"),
    [({"n": 2}, "n"), ({"stream_options": {"continuous_usage_stats": True}}, "stream_options.c"),
     ({"messages": []}, "messages")],
)  # fmt: skip
def test_what_does_not_go_with_tools(
    gateway: GatewayProcess, engine: ScriptedEngine, more: dict[str, object], param: str
) -> None:
    answer = gateway.post("/v1/chat/completions", chat_body() | more)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)
    assert not engine.asked


def test_invoke(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play(streamed(call_events(MATHS)), streamed(chat_events(["It is ", "42."])))
    given = {"prompt": "What is 6*7?", "parameters": {"max_new_tokens": 9, "do_sample": False}}
    answer = gateway.post("/invoke", given)
    assert answer.json() == {"generated_text": "It is 42.", **given}
    asked = engine.asked[0].json
    assert (asked["max_tokens"], asked["temperature"]) == (9, 0.0)


def test_invoke_takes_the_key_as_a_header_of_its_own(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(chat_events(["hi"])))
    with gateway.connect() as client:
        client.send(b"POST /invoke HTTP/1.1\r\nx-api-key: %b\r\ncontent-length: 15\r\n\r\n"
                    b'{"prompt":"yo"}' % BOB.encode())  # fmt: skip
        status, _, body = client.read_answer()
    assert (status, json.loads(body)["generated_text"]) == (200, "hi")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_body"),
        (b'{"prompt": 3}', "invalid_body"),
        (b'{"prompt": "x", "parameters": {"max_tokens": 1}}', "invalid_body"),
        (b'{"prompt": "x", "extra": 1}', "invalid_body"),
        (b'{"prompt": "\xff"}', "invalid_body"),
        (b'{"prompt": "x", "model": "nothing"}', "model_not_found"),
    ],
)
def test_invoke_refuses(gateway: GatewayProcess, body: bytes, code: str) -> None:
    answer = gateway.post("/invoke", body)
    assert answer.status_code == (404 if code == "model_not_found" else 400)
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize("stream", [True, False])
def test_what_came_before_a_client_left_is_billed(
    gateway: GatewayProcess, engine: ScriptedEngine, stream: bool
) -> None:
    engine.play([STREAM_HEAD, *(chunk(delta(text)) for text in "abc"), Act.WAIT])
    labels = {"tenant": "alice", "model": "scripted"}
    before = gateway.metric("penstock_estimated_completion_tokens_total", **labels)
    left = gateway.metric("penstock_requests_total", outcome="client_gone", **labels)
    body = json.dumps(chat_body(stream=stream)).encode()
    with gateway.connect() as client:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n" % ALICE.encode()
        client.send(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        wait_until(lambda: engine.waiting == 1)
        if stream:
            client.read_until(b'"c"')
        else:
            gateway.get("/health")  # the gateway's loop has come round since the engine wrote
    wait_until(lambda: engine.aborted == 1)

    def count() -> float:
        return gateway.metric("penstock_requests_total", outcome="client_gone", **labels)

    wait_until(lambda: count() == left + 1)
    assert gateway.metric("penstock_estimated_completion_tokens_total", **labels) == before + 3


def test_events_that_come_together_leave_together(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([STREAM_HEAD + b"".join(map(chunk, chat_events(["a", "b", "c"]))) + LAST])
    with gateway.connect() as client:
        body = json.dumps(chat_body(stream=True)).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n" % ALICE.encode()
        client.send(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        client.read_head()
        size = int(client.read_until(b"\r\n"), 16)
        payload = client.read(size)
        assert client.read(7) == b"\r\n0\r\n\r\n"
    assert [line[:6] for line in payload.splitlines() if line] == [b"data: "] * 6
    assert payload.endswith(DONE)
