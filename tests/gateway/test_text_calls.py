"""Engines that leave calls in their text, behind a real gateway and under the real SDK."""

import json
from typing import Any

import pytest
from tests.fakes.gateway_answers import DONE, chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import ScriptedEngine
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess

HI: Any = [{"role": "user", "content": "hi"}]
MINE: Any = {"type": "function", "function": {"name": "mine", "parameters": {}}}
CALL = '<tool_call>\n{"name": "mine", "arguments": {"city": "Köln"}}\n</tool_call>'
WORDS = ["Let me", " see.", *(CALL[at : at + 4] for at in range(0, len(CALL), 4))]


@pytest.mark.parametrize("key", [ALICE, BOB])
@pytest.mark.parametrize("stream", [True, False])
def test_the_sdk_gets_calls_of_its_own_tools(
    gateway: GatewayProcess, engine: ScriptedEngine, key: str, stream: bool
) -> None:
    engine.play(streamed(chat_events(WORDS)))
    completions: Any = gateway.sdk(key).chat.completions
    if stream:
        with completions.stream(model="in-text", messages=HI, tools=[MINE]) as events:
            done = events.get_final_completion()
    else:
        done = completions.create(model="in-text", messages=HI, tools=[MINE])
    choice = done.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me see."
    (call,) = choice.message.tool_calls
    assert call.function.name == "mine"
    assert json.loads(call.function.arguments) == {"city": "Köln"}


def test_our_own_tools_are_run(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    text = '<tool_call>{"name": "calculate_math", "arguments": {"expression": "6*7"}}</tool_call>'
    engine.play(streamed(chat_events([text])), streamed(chat_events(["It is 42."])))
    body = gateway.chat(key=ALICE, model="in-text").json()
    assert body["choices"][0]["message"]["content"] == "It is 42."
    assert body["metadata"] == {"tool_rounds": 1}
    assert '"result": 42' in engine.asked[1].json["messages"][-1]["content"]


@pytest.mark.parametrize(
    "more", [{"tools": [MINE], "tool_choice": "none"}, {}, {"tools": [MINE], "n": 2}]
)
def test_where_nothing_is_parsed_bytes_pass_untouched(
    gateway: GatewayProcess, engine: ScriptedEngine, more: dict[str, Any]
) -> None:
    engine.play(streamed(chat_events(WORDS)))
    answer = gateway.chat(key=BOB, model="in-text", stream=True, **more)
    assert answer.content == b"".join(chat_events(WORDS, usage=False))
    assert answer.content.endswith(DONE)
    engine.play(plain(completion(CALL)))
    if "n" not in more:
        answer = gateway.chat(key=BOB, model="in-text", **more)
        assert answer.json()["choices"][0]["message"]["content"] == CALL
