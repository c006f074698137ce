"""The served engine, through the real `openai` SDK and over raw sockets."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.engines.embedded.engine_process import EngineProcess

MESSAGES: Any = [{"role": "user", "content": "The weather in Oslo?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "get_current_weather"}}]


@pytest.fixture(scope="module")
def client(served: EngineProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, content: str = "hi", **fields: Any) -> Any:
    messages: Any = [{"role": "user", "content": content}]
    settings: Any = {"model": "random", "temperature": 0, "max_tokens": 12} | fields
    return client.chat.completions.create(messages=messages, **settings)


def test_plain_and_streamed_answers_are_the_same(client: openai.OpenAI) -> None:
    whole = ask(client)
    assert whole.id.startswith("chatcmpl-")
    assert whole.model == "random"
    assert whole.choices[0].finish_reason == "length"
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_async_client_streams_too(served: EngineProcess) -> None:
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model="random", messages=MESSAGES, max_tokens=5, stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason in {"stop", "length"}


def test_usage_can_come_with_every_chunk(client: openai.OpenAI) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(ask(client, stream=True, stream_options=options))
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, 12)


def test_thirty_two_streams_say_what_lone_ones_say(client: openai.OpenAI) -> None:
    def text(n: int, *, stream: bool) -> str:
        model = "attention" if n % 3 == 0 else "random"
        answer = ask(
            client, f"Number {n}! " * (n % 5 + 1), model=model, max_tokens=6 + n, stream=stream
        )
        if not stream:
            return str(answer.choices[0].message.content)
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer)

    alone = [text(n, stream=False) for n in range(32)]
    with ThreadPoolExecutor(32) as pool:
        crowded = list(pool.map(lambda n: text(n, stream=True), range(32)))
    assert crowded == alone


def test_seeds_and_choices(client: openai.OpenAI) -> None:
    def texts(**fields: Any) -> list[str]:
        answer = ask(client, temperature=1.0, **fields)
        return [choice.message.content for choice in answer.choices]

    three = texts(n=3, seed=1)
    assert three == texts(n=3, seed=1)
    assert len(set(three)) == 3
    assert texts(seed=1) == three[:1]
    assert texts(seed=2) == three[1:2]
    chunks = list(ask(client, temperature=1.0, n=3, seed=1, stream=True))
    streamed = ["", "", ""]
    for chunk in chunks:
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == three


def test_stop_strings_are_cut_out(client: openai.OpenAI) -> None:
    whole = ask(client).choices[0].message.content
    stop = whole[4:7]
    answer = ask(client, stop=[stop, "never"])
    assert answer.choices[0].message.content == whole[: whole.index(stop)]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].stop_reason == stop
    chunks = list(ask(client, stop=stop, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole[: whole.index(stop)]


def test_log_probabilities(client: openai.OpenAI) -> None:
    answer = ask(client, logprobs=True, top_logprobs=3)
    content = answer.choices[0].logprobs.content
    assert len(content) == 12
    for entry in content:
        assert entry.logprob == entry.top_logprobs[0].logprob
        assert bytes(entry.bytes).decode() == entry.token
        assert len(entry.top_logprobs) == 3
    chunks = list(ask(client, logprobs=True, stream=True))
    streamed = [
        entry
        for chunk in chunks
        if chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content
    ]
    assert [entry.token for entry in streamed] == [entry.token for entry in content]


def test_completions(client: openai.OpenAI) -> None:
    fields: Any = {"model": "random", "temperature": 0, "max_tokens": 5}
    both = client.completions.create(prompt=["The", "Ein"], logprobs=2, **fields)
    assert [choice.index for choice in both.choices] == [0, 1]
    for n, prompt in enumerate(("The", "Ein")):
        chunks = list(client.completions.create(prompt=prompt, stream=True, **fields))
        assert "".join(chunk.choices[0].text for chunk in chunks) == both.choices[n].text
        assert chunks[-1].choices[0].finish_reason == "length"
    logprobs = both.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert len(logprobs.tokens) == len(logprobs.token_logprobs or []) == 5
    assert logprobs.text_offset == [len("".join(logprobs.tokens[:n])) for n in range(5)]


def test_an_unknown_model_is_never_answered_by_the_base(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model="attention-v2")
    assert caught.value.body == {
        "message": "The model `attention-v2` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }


def test_adapters_are_loaded_listed_used_and_unloaded(
    served: EngineProcess, client: openai.OpenAI, adapters: dict[str, Path]
) -> None:
    load = {"lora_name": "everything", "lora_path": str(adapters["everything"])}
    base, attention = (
        ask(client, model=name).choices[0].message.content for name in ("random", "attention")
    )
    assert base != attention
    assert served.post("/v1/load_lora_adapter", load).status_code == 200
    listed = {model.id: model for model in client.models.list()}
    assert set(listed) == {"random", "attention", "everything"}
    assert listed["everything"].model_dump()["parent"] == "random"
    answer = ask(client, model="everything")
    assert answer.model == "everything"
    assert answer.choices[0].message.content not in {base, attention}
    again = served.post("/v1/load_lora_adapter", load)
    assert (again.status_code, again.json()["error"]["type"]) == (400, "InvalidUserInput")
    assert served.post("/v1/load_lora_adapter", load | {"load_inplace": True}).status_code == 200
    assert served.post("/v1/unload_lora_adapter", {"lora_name": "everything"}).status_code == 200
    with pytest.raises(openai.NotFoundError):
        ask(client, model="everything")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"lora_name": "x"}, 400),
        ({"lora_name": "random", "lora_path": "/tmp"}, 400),
        ({"lora_name": "x", "lora_path": "/nowhere"}, 404),
        ({"lora_name": "x", "lora_path": "/tmp"}, 400),
        ({"lora_name": 7}, 400),
    ],
)
def test_adapters_that_cannot_be_loaded(served: EngineProcess, body: Any, status: int) -> None:
    reply = served.post("/v1/load_lora_adapter", body)
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == status
    assert served.post("/v1/unload_lora_adapter", {"lora_name": "x"}).status_code == 404
    assert served.post("/v1/unload_lora_adapter", {}).status_code == 400


def test_sagemakers_routes(served: EngineProcess, client: openai.OpenAI) -> None:
    assert httpx.get(f"{served.url}/ping", timeout=60).status_code == 200
    body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0, "max_tokens": 12}
    whole = served.post("/invocations", body).json()
    assert whole["choices"][0]["message"]["content"] == ask(client).choices[0].message.content
    assert served.post("/invocations", {"prompt": "The"}).json()["object"] == "text_completion"
    header = {"X-Amzn-SageMaker-Adapter-Identifier": "attention"}
    adapted = httpx.post(f"{served.url}/invocations", json=body, headers=header, timeout=60).json()
    assert adapted["model"] == "attention"
    wanted = ask(client, model="attention").choices[0].message.content
    assert adapted["choices"][0]["message"]["content"] == wanted


def test_tokenizing(served: EngineProcess) -> None:
    reply = served.post("/tokenize", {"prompt": "The weather", "return_token_strs": True}).json()
    assert reply["count"] == len(reply["tokens"]) == len(reply["token_strs"])
    assert "".join(reply["token_strs"]).replace("Ġ", " ") == "The weather"
    assert served.post("/tokenize", {"messages": MESSAGES, "tools": TOOLS}).json()["count"] > 9


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/chat/completions", {"messages": MESSAGES, "colour": 1}, 400, "colour"),
        (
            "/v1/chat/completions",
            {"messages": MESSAGES, "response_format": {"type": "json_object"}},
            400,
            "response_format",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x" * 3000}]},
            400,
            "input_tokens",
        ),
        ("/v1/completions", {"prompt": "x", "echo": True}, 400, "echo"),
        ("/v1/completions", {"prompt": "x", "max_tokens": 999}, 400, "max_tokens"),
        ("/v1/embeddings", {"input": "x"}, 404, None),
        ("/health", {}, 405, None),
    ],
)
def test_refusals_have_openais_shape(
    served: EngineProcess, path: str, body: Any, status: int, param: str | None
) -> None:
    reply = served.post(path, body)
    assert reply.status_code == status
    error = reply.json()["error"]
    assert (error["code"], error["param"]) == (status, param)
    assert error["message"].endswith(".")
    assert set(error) == {"message", "type", "param", "code"}


def test_a_body_that_is_too_large_is_refused(served: EngineProcess) -> None:
    reply = httpx.post(f"{served.url}/v1/completions", content=b" " * (17 * 2**20), timeout=60)
    assert reply.status_code == 413


def open_stream(served: EngineProcess, tokens: int = 200) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    body = json.dumps(
        {"prompt": "The", "max_tokens": tokens, "ignore_eos": True, "stream": True}
    ).encode()
    connection = socket.create_connection((host, int(port)))
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_a_client_that_leaves_frees_its_slot(served: EngineProcess) -> None:
    aborted = served.metric('vllm:request_success_total{finished_reason="abort"')
    for chunks in (0, 1, 5):
        with open_stream(served) as connection:
            got = b""
            while got.count(b"data: ") < chunks:
                got += connection.recv(4096)
        served.wait(lambda: served.metric("vllm:num_requests_running") == 0)
    assert served.metric("vllm:num_requests_waiting") == 0
    # The tiny model may have finished before it noticed; most often it has not.
    ends = 'vllm:request_success_total{finished_reason="abort"'
    served.wait(lambda: served.metric(ends) > aborted)


def test_whole_answers_are_aborted_too(served: EngineProcess) -> None:
    """Work for some seconds: a client that stands still meanwhile leaves in time all the same."""
    before = served.metric("vllm:generation_tokens_total")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{served.url}/v1/completions",
            json={"prompt": ["The"] * 512, "max_tokens": 250, "ignore_eos": True},
            timeout=httpx.Timeout(5, read=0.05),
        )
    served.wait(lambda: served.metric("vllm:num_requests_running") == 0)
    assert served.metric("vllm:generation_tokens_total") - before < 512 * 250


def test_counters_are_exact(served: EngineProcess, client: openai.OpenAI) -> None:
    names = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
    before = [served.metric(name) for name in names]
    usage = ask(client, max_tokens=9).usage
    after = [served.metric(name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [usage.prompt_tokens, 9]


def test_requests_are_answered_while_others_are_computed(served: EngineProcess) -> None:
    def crowd() -> None:
        served.post("/v1/completions", {"prompt": "The", "max_tokens": 150, "ignore_eos": True})

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(crowd) for _ in range(8)]
        assert httpx.get(f"{served.url}/health", timeout=60).status_code == 200
        assert httpx.get(f"{served.url}/v1/models", timeout=60).status_code == 200
        for future in running:
            future.result()
