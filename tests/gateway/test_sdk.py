"""The official `openai` SDK against the gateway, over engines that compute."""

import asyncio
import json
import time
from collections.abc import Iterable

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionMessageParam,
)
from tests.fakes.gateway_engine import wait_until
from tests.gateway.gateway_process import ALICE, BOB, chat_body, raw_chat
from tests.gateway.real_engines import NAME, RealEngine

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]


def text_of(chunks: Iterable[ChatCompletionChunk]) -> str:
    return "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)


def test_plain_and_streamed_say_the_same(real: RealEngine) -> None:
    sdk = real.gateway.sdk(BOB)
    plain = sdk.chat.completions.create(
        model=NAME, messages=HELLO, temperature=0, max_tokens=40, seed=1
    )
    assert plain.choices[0].message.content
    assert plain.usage is not None
    assert plain.usage.completion_tokens > 0
    stream = sdk.chat.completions.create(
        model=NAME, messages=HELLO, temperature=0, max_tokens=40, seed=1, stream=True
    )
    chunks = list(stream)
    assert text_of(chunks) == plain.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == plain.choices[0].finish_reason
    assert all(each.usage is None for each in chunks)


def test_usage_comes_where_it_was_asked_for(real: RealEngine) -> None:
    """What ends an answer comes behind the last event that a client reads of it."""

    def counted() -> float:
        return real.gateway.metric("penstock_tokens_total", tenant="bob", kind="completion")

    wait_until(lambda: real.gateway.metric("penstock_engine_outstanding") == 0)
    before = counted()
    stream = real.gateway.sdk(BOB).chat.completions.create(
        model=NAME,
        messages=HELLO,
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
    )
    *_, last = stream
    assert last.choices == []
    assert last.usage is not None
    assert 0 < last.usage.completion_tokens <= 8
    tokens = last.usage.completion_tokens
    wait_until(lambda: counted() - before == tokens)


async def test_async(real: RealEngine) -> None:
    async with AsyncOpenAI(base_url=f"{real.gateway.url}/v1", api_key=BOB) as sdk:

        async def streamed(count: int) -> str:
            stream = await sdk.chat.completions.create(
                model=NAME, messages=HELLO, temperature=0, max_tokens=count, stream=True
            )
            return text_of([each async for each in stream])

        async def plain(count: int) -> str:
            answer = await sdk.chat.completions.create(
                model=NAME, messages=HELLO, temperature=0, max_tokens=count
            )
            return answer.choices[0].message.content or ""

        counts = range(1, 9)
        texts = await asyncio.gather(*map(streamed, counts), *map(plain, counts))
    assert texts[:8] == texts[8:]


def test_completions(real: RealEngine) -> None:
    answer = real.gateway.sdk(BOB).completions.create(
        model=NAME, prompt="Hello", max_tokens=4, temperature=0
    )
    stream = real.gateway.sdk(BOB).completions.create(
        model=NAME, prompt="Hello", max_tokens=4, temperature=0, stream=True
    )
    assert "".join(each.choices[0].text for each in stream) == answer.choices[0].text
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 4


def test_models(real: RealEngine) -> None:
    assert [each.id for each in real.gateway.sdk(BOB).models.list()] == [NAME]
    assert real.gateway.sdk(BOB).models.retrieve(NAME).id == NAME


@pytest.mark.parametrize("stream", [True, False])
def test_tools_of_the_client_are_passed_through(real: RealEngine, stream: bool) -> None:
    sdk = real.gateway.sdk(BOB)
    tools = real.gateway.get("/tools", ALICE).json()["tools"]
    ask: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is 12 * 7?"}]
    if stream:
        got = sdk.chat.completions.create(
            model=NAME, messages=ask, tools=tools, temperature=0, stream=True
        )
        deltas = [each.choices[0].delta.tool_calls or [] for each in got if each.choices]
        pieces = [piece.function for pieces in deltas for piece in pieces if piece.function]
        name = "".join(piece.name or "" for piece in pieces)
        arguments = "".join(piece.arguments or "" for piece in pieces)
    else:
        answer = sdk.chat.completions.create(model=NAME, messages=ask, tools=tools, temperature=0)
        assert answer.choices[0].finish_reason == "tool_calls"
        (call,) = answer.choices[0].message.tool_calls or []
        assert call.type == "function"
        name, arguments = call.function.name, call.function.arguments
    assert name == "calculate_math"
    assert "12" in json.loads(arguments)["expression"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("tool", "prompt"),
    [
        ("calculate_math", "What is 12 * 7?"),
        ("get_current_weather", "What is the weather in Paris?"),
        ("search_database", "Search the catalogue for lamp."),
    ],
)
def test_tools_of_the_gateway_are_run(
    real: RealEngine, tool: str, prompt: str, stream: bool
) -> None:
    sdk, gateway = real.gateway.sdk(ALICE), real.gateway
    before = gateway.metric("tool_calls_total", tool=tool, tenant="alice", outcome="ok")
    ask: list[ChatCompletionMessageParam] = [{"role": "user", "content": prompt}]
    if stream:
        chunks = list(
            sdk.chat.completions.create(model=NAME, messages=ask, temperature=0, stream=True)
        )
        assert not [each for each in chunks if each.choices and each.choices[0].delta.tool_calls]
        text = text_of(chunks)
    else:
        answer = sdk.chat.completions.create(model=NAME, messages=ask, temperature=0)
        text = answer.choices[0].message.content or ""
        assert answer.choices[0].finish_reason == "stop"
    assert gateway.metric("tool_calls_total", tool=tool, tenant="alice", outcome="ok") > before
    assert text
    assert "<tool_call>" not in text


def test_invoke(real: RealEngine) -> None:
    given = {"prompt": "Hello!", "parameters": {"max_new_tokens": 20, "do_sample": False}}
    answer = real.gateway.post("/invoke", given).json()
    assert answer["generated_text"]
    assert answer["prompt"] == "Hello!"


@pytest.mark.parametrize(
    "more",
    [{"temperature": -1}, {"top_p": 7}, {"max_tokens": -5}, {"messages": "x"}, {"n": 0},
     {"messages": [{"role": "user"}] * 2, "max_tokens": 10**9}],
    ids=str,
)  # fmt: skip
def test_what_the_engine_refuses_is_the_clients_error(
    real: RealEngine, more: dict[str, object]
) -> None:
    for stream in (True, False):
        body = chat_body("hi", NAME) | {"stream": stream} | more
        answer = real.gateway.post("/v1/chat/completions", body, BOB)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["error"]["message"]


def test_a_prompt_that_is_too_long(real: RealEngine) -> None:
    with pytest.raises(openai.BadRequestError):
        real.gateway.sdk(BOB).chat.completions.create(
            model=NAME, messages=[{"role": "user", "content": "word " * 5000}]
        )


LONG: dict[str, object] = {
    "n": 16,
    "max_tokens": 1900,
    "min_tokens": 1900,
    "ignore_eos": True,
}
LONG_TOKENS = 16 * 1900


@pytest.mark.parametrize("chunks", [0, 1, 5, 40])
def test_a_client_that_leaves_frees_the_engines_slots(real: RealEngine, chunks: int) -> None:
    """As the engine itself counts them; it stops long before the answer would be complete."""
    wait_until(lambda: real.running() == 0)
    before = real.metric("generation_tokens_total")
    with real.gateway.connect() as client:
        client.send(raw_chat(json.dumps(chat_body("hi", NAME, stream=True, **LONG)).encode()))
        for _ in range(chunks):
            client.read_until(b"\n\n\r\n")
    _wait_until_idle(real)
    assert real.metric("generation_tokens_total") - before < 0.9 * LONG_TOKENS


def test_a_client_that_leaves_a_plain_request(real: RealEngine) -> None:
    wait_until(lambda: real.running() == 0)
    before = real.metric("generation_tokens_total")
    with real.gateway.connect() as client:
        client.send(raw_chat(json.dumps(chat_body("hi", NAME, **LONG)).encode()))
        # Not the engine's own gauge: a busy vLLM answers for its metrics seconds late.
        wait_until(lambda: real.gateway.metric("penstock_engine_outstanding") == 1)
    _wait_until_idle(real)
    assert real.metric("generation_tokens_total") - before < 0.9 * LONG_TOKENS


def _wait_until_idle(real: RealEngine) -> None:
    """Wait until the engine holds nothing, and its count of tokens stands still.

    What was not cancelled would compute for longer than it must stand still here.
    """
    wait_until(lambda: real.gateway.metric("penstock_engine_outstanding") == 0)

    def idle() -> bool:
        before = real.metric("generation_tokens_total")
        time.sleep(1.0)
        return real.running() == 0 and real.metric("generation_tokens_total") == before

    wait_until(idle, limit_s=60)
