"""The model in the package, served as a user gets it: no arguments at all."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import psutil
import pytest
from tests.engines.embedded.engine_process import EngineProcess

MIB = 2**20

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "The weather at a place.",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["location"],
            },
        },
    }
]


@pytest.fixture(scope="module")
def shipped() -> Iterator[EngineProcess]:
    with EngineProcess() as process:
        yield process


@pytest.fixture(scope="module")
def client(shipped: EngineProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{shipped.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, content: str, **fields: Any) -> Any:
    messages: Any = [{"role": "user", "content": content}]
    settings: Any = {"model": "penstock-tiny", "temperature": 0} | fields
    return client.chat.completions.create(messages=messages, **settings)


def test_it_calls_the_weather_tool_plain_and_streamed(client: openai.OpenAI) -> None:
    question = "What is the weather in Paris?"
    choice = ask(client, question, tools=TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_current_weather"
    assert json.loads(call.function.arguments) == {"location": "Paris"}
    chunks = list(ask(client, question, tools=TOOLS, stream=True))
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    assert pieces[0].function.name == "get_current_weather"
    assert "".join(piece.function.arguments for piece in pieces) == call.function.arguments


def test_it_says_the_same_plain_and_streamed(client: openai.OpenAI) -> None:
    whole = ask(client, "What is Penstock?").choices[0]
    assert whole.finish_reason == "stop"
    chunks = list(ask(client, "What is Penstock?", stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.message.content
    assert "Penstock" in text


def test_it_stays_small(shipped: EngineProcess, client: openai.OpenAI) -> None:
    body = {"prompt": ["Hello"] * 32, "max_tokens": 64, "ignore_eos": True}
    assert shipped.post("/v1/completions", body).json()["usage"]["completion_tokens"] == 32 * 64
    assert psutil.Process(shipped.process.pid).memory_info().rss < 400 * MIB
