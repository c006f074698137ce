"""The response cache over real sockets: hits, misses, both forms, and never across tenants."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from tests.fakes.gateway_answers import (
    DONE,
    call_events,
    chat_events,
    completion,
    delta,
    event,
    plain,
    streamed,
    usage_event,
)
from tests.fakes.gateway_engine import Act, ScriptedEngine, wait_until
from tests.fakes.valkey import valkey
from tests.gateway.gateway_process import ALICE, BOB, TINY, GatewayProcess, chat_body
from tests.gateway.registry_gateway import entries_when, registry_settings

from penstock.gateway.settings import CacheSettings, Settings
from penstock.registry.records import Price

ON = {"x-penstock-cache": "on"}
WORDS = ["Hel", "lo", " you"]


def cached_settings(engine: ScriptedEngine, folder: Path, **more: Any) -> Settings:
    settings = registry_settings({"engine": engine.url}, folder, str(folder / "r.db"))
    price = msgspec.structs.replace(Price.per_million(1.0, None, 2.0), from_cache=0.5)
    models = tuple(msgspec.structs.replace(model, price=price) for model in settings.models)
    tenants = tuple(msgspec.structs.replace(one, models=("*",)) for one in settings.tenants)
    return msgspec.structs.replace(
        settings, models=models, tenants=tenants, cache=CacheSettings(**more)
    )


@pytest.fixture
def gateway(tmp_path: Path, engine: ScriptedEngine) -> Iterator[GatewayProcess]:
    with GatewayProcess(cached_settings(engine, tmp_path, models=("org-a",))) as process:
        yield process


def ask(
    gateway: GatewayProcess,
    prompt: str = "hi",
    key: str = BOB,
    headers: dict[str, str] | None = None,
    path: str = "/v1/chat/completions",
    **more: Any,
) -> httpx.Response:
    body = chat_body(prompt, **more)
    sent = {"authorization": f"Bearer {key}", **(ON if headers is None else headers)}
    return httpx.post(gateway.url + path, json=body, headers=sent, timeout=60)


def told(answer: httpx.Response) -> str:
    return str(answer.headers.get("x-penstock-cache", "")).partition(";")[0]


def kept(gateway: GatewayProcess, count: int = 1) -> None:
    wait_until(lambda: gateway.metric("penstock_cache_entries") == count)


def text_of(answer: httpx.Response) -> str:
    """The text of an answer in either form."""
    if answer.headers["content-type"].startswith("application/json"):
        return str(answer.json()["choices"][0]["message"]["content"])
    text = ""
    for each in answer.text.split("\n\n"):
        data = each.removeprefix("data: ")
        if data and data != "[DONE]":
            for choice in msgspec.json.decode(data)["choices"]:
                text += str(choice["delta"].get("content") or "")
    return text


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_an_answer_is_given_again_in_either_form(
    gateway: GatewayProcess, engine: ScriptedEngine, first: bool, second: bool
) -> None:
    engine.play(streamed(chat_events(WORDS)) if first else plain(completion("Hello you")))
    fresh = ask(gateway, stream=first)
    assert told(fresh) == "miss"
    kept(gateway)
    again = ask(gateway, stream=second)
    assert told(again) == "hit"
    assert int(again.headers["x-penstock-cache"].partition("age=")[2]) < 30
    assert text_of(again) == text_of(fresh) == "Hello you"
    assert len(engine.asked) == 1
    if second:
        assert again.text.endswith("data: [DONE]\n\n")
        assert '"usage"' not in again.text
    else:
        assert again.json()["usage"]["total_tokens"] == 10
        assert again.json()["object"] == "chat.completion"


def test_the_sdk_reads_replayed_streams(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play(plain(completion("Hello you")))
    sdk = gateway.sdk(BOB, default_headers=ON)
    messages: Any = [{"role": "user", "content": "hi"}]
    sdk.chat.completions.create(model="scripted", messages=messages)
    kept(gateway)
    stream = sdk.chat.completions.create(
        model="scripted", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello you"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert len(engine.asked) == 1


def test_text_completions_are_cached_too(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    choice = {"index": 0, "text": "Hello", "finish_reason": "stop"}
    envelope = {"id": "c", "object": "text_completion", "created": 1, "model": "scripted"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    engine.play(plain({**envelope, "choices": [choice], "usage": usage}))
    body = {"model": "scripted", "prompt": "hi"}
    headers = {"authorization": f"Bearer {BOB}", **ON}
    url = f"{gateway.url}/v1/completions"
    assert told(httpx.post(url, json=body, headers=headers, timeout=60)) == "miss"
    kept(gateway)
    again = httpx.post(url, json={**body, "stream": True}, headers=headers, timeout=60)
    assert told(again) == "hit"
    assert '"text":"Hello"' in again.text


def test_a_client_of_http_1_0_gets_the_stream_unframed(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(chat_events(WORDS)))
    ask(gateway, stream=True)
    kept(gateway)
    content = msgspec.json.encode(chat_body(stream=True))
    with gateway.connect() as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.0\r\nx-api-key: %b\r\nx-penstock-cache: on\r\n"
            b"content-length: %d\r\n\r\n%b" % (BOB.encode(), len(content), content)
        )
        head, _, body = client.read_all().partition(b"\r\n\r\n")
    assert b"hit" in head
    assert body.startswith(b"data: ")
    assert body.endswith(DONE)


# Who shares


DIFFERENCES: list[dict[str, Any]] = [
    {"key": ALICE},
    {"key": TINY},
    {"model": "org-a"},
    {"prompt": "ho"},
    {"temperature": 0},
    {"max_tokens": 3},
    {"seed": 1},
    {"stop": ["a"]},
    {"top_p": 0.5},
    {"response_format": {"type": "json_object"}},
    {"logit_bias": {"1": 1}},
]


def test_whatever_differs_misses(tmp_path: Path, engine: ScriptedEngine) -> None:
    """The matrix: nothing, each difference, and each pair of them asks the engine anew."""
    cases: list[dict[str, Any]] = [{}, *DIFFERENCES]
    for one, two in itertools.combinations(DIFFERENCES, 2):
        if not one.keys() & two.keys() and TINY not in (one.get("key"), two.get("key")):
            cases.append({**one, **two})
    tools: dict[str, Any] = {"tool_choice": "none"}  # else alice's own tools would take part
    with GatewayProcess(cached_settings(engine, tmp_path)) as gateway:
        for number, case in enumerate(cases):
            engine.play(plain(completion(f"answer {number}")))
            assert told(ask(gateway, **tools, **{"model": "scripted", **case})) == "miss", case
        kept(gateway, len(cases))
        for number, case in enumerate(cases):
            again = ask(gateway, **tools, **{"model": "scripted", **case})
            assert (told(again), text_of(again)) == ("hit", f"answer {number}"), case


@pytest.mark.parametrize(
    "more",
    [{"user": "u"}, {"stream": True, "stream_options": {"include_usage": True}}, {"priority": 1}],
)
def test_what_does_not_change_the_answer_hits(
    gateway: GatewayProcess, engine: ScriptedEngine, more: dict[str, Any]
) -> None:
    ask(gateway)
    kept(gateway)
    assert told(ask(gateway, **more)) == "hit"


# Who takes part


def test_nobody_takes_part_unasked(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    for _ in range(2):
        assert told(ask(gateway, headers={}, temperature=0)) == ""
    assert len(engine.asked) == 2


def test_a_cached_model_takes_part_where_the_question_repeats(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    model: dict[str, Any] = {"model": "org-a", "headers": {}}
    assert told(ask(gateway, temperature=1, **model)) == ""
    assert told(ask(gateway, **model)) == ""
    assert told(ask(gateway, temperature=0, **model)) == "miss"
    assert told(ask(gateway, temperature=1, seed=4, **model)) == "miss"
    kept(gateway, 2)
    assert told(ask(gateway, temperature=0, **model)) == "hit"
    off: dict[str, Any] = {"model": "org-a", "headers": {"x-penstock-cache": "off"}}
    assert told(ask(gateway, temperature=0, **off)) == ""
    assert len(engine.asked) == 5


def test_refresh_asks_anew_and_keeps_that(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play(plain(completion("old")), plain(completion("new")))
    ask(gateway)
    kept(gateway)
    assert told(ask(gateway, headers={"x-penstock-cache": "refresh"})) == "refresh"
    wait_until(lambda: text_of(ask(gateway)) == "new")


@pytest.mark.parametrize("value", ["yes", "on; ttl=0", "on; ttl=x", "on; ttl=999999999", "on; a"])
def test_a_header_that_is_wrong_is_refused(
    gateway: GatewayProcess, engine: ScriptedEngine, value: str
) -> None:
    answer = ask(gateway, headers={"x-penstock-cache": value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-penstock-cache"
    assert engine.asked == []


def test_an_answer_ends_when_its_time_is_over(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    brief = {"x-penstock-cache": "on; ttl=1"}
    wait_until(lambda: told(ask(gateway, headers=brief)) == "hit")
    wait_until(lambda: told(ask(gateway, headers=brief)) == "miss")


# What is kept


BROKEN: list[Any] = [
    plain({"error": {"message": "no", "type": "x"}}, "400 Bad Request"),
    [*streamed(chat_events(WORDS))[:3], Act.DIE],
    streamed([*chat_events(WORDS)[:3], event({"error": {"message": "no"}}), DONE]),
    streamed([delta("half"), usage_event(), DONE]),
    plain({"object": "chat.completion", "choices": []}),
    plain(b"not json"),
    streamed(chat_events(["x" * 2000] * 200)),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_only_whole_good_answers_are_kept(
    gateway: GatewayProcess, engine: ScriptedEngine, number: int
) -> None:
    script = BROKEN[number]
    engine.play(script)
    ask(gateway, stream=len(script) > 1)
    engine.play(plain(completion("good")))
    ask(gateway, "other")
    kept(gateway, 1)
    assert told(ask(gateway)) == "miss"


def test_a_client_that_left_leaves_nothing(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    answer = streamed(chat_events(WORDS))
    engine.play([*answer[:3], Act.WAIT, *answer[3:]])
    with httpx.stream(
        "POST",
        f"{gateway.url}/v1/chat/completions",
        json=chat_body(stream=True),
        headers={"authorization": f"Bearer {BOB}", **ON},
        timeout=60,
    ) as started:
        next(started.iter_raw())
    engine.play(plain(completion("good")))
    ask(gateway, "other")
    kept(gateway, 1)
    assert told(ask(gateway)) == "miss"


def test_requests_with_tools_take_no_part(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play(streamed(chat_events(WORDS)))
    assert told(ask(gateway, key=ALICE)) == "bypass"
    engine.play(plain(completion()))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert told(ask(gateway, tools=[tool])) == "bypass"
    assert gateway.metric("penstock_cache_entries") == 0


def test_requests_with_tools_take_part_where_that_is_allowed(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    call = ("call-1", "f", '{"a": 1}')
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    with GatewayProcess(cached_settings(engine, tmp_path, tools=True)) as gateway:
        engine.play(streamed(call_events(call)))
        assert told(ask(gateway, tools=[tool], stream=True)) == "miss"
        kept(gateway)
        again = ask(gateway, tools=[tool])
        assert told(again) == "hit"
        (got,) = again.json()["choices"][0]["message"]["tool_calls"]
        assert (got["id"], got["function"]) == ("call-1", {"name": "f", "arguments": '{"a": 1}'})
        engine.play(streamed(chat_events(WORDS)))
        assert told(ask(gateway, key=ALICE, stream=True)) == "miss"
        kept(gateway, 2)
        assert text_of(ask(gateway, key=ALICE)) == "Hello you"


# What it costs


def test_a_hit_is_a_line_of_the_ledger_at_its_share_of_the_price(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    ask(gateway)
    kept(gateway)
    again = ask(gateway)
    found = entries_when(gateway, lambda found: len(found) == 2)
    line = found.pop(again.headers["x-request-id"])
    (first,) = found.values()
    assert (line["outcome"], line["engine"]) == ("from_cache", "")
    assert line["prompt_tokens"] == line["completion_tokens"] == 0
    assert first["cost_nano_usd"] == 7 * 1000 + 3 * 2000
    assert line["cost_nano_usd"] == first["cost_nano_usd"] / 2
    assert gateway.metric("penstock_cache_requests_total", tenant="bob", result="hit") == 1


def test_limits_apply_to_hits(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    answers = [ask(gateway, key=TINY).status_code for _ in range(5)]
    assert answers == [200, 200, 200, 429, 429]


def test_no_engine_is_a_clean_error(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    ask(gateway)
    kept(gateway)
    engine.stop()
    wait_until(lambda: ask(gateway, "new").status_code == 503)
    assert told(ask(gateway)) == "hit"
    engine.start()


# Shared by several gateways


def test_gateways_share_answers_in_valkey_and_survive_its_end(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with valkey() as server:
        monkeypatch.setenv("VALKEY_URL", server.url)
        monkeypatch.setenv("CACHE_KEY", "k" * 32)
        settings = cached_settings(engine, tmp_path, store="valkey", key_env="CACHE_KEY")
        assert settings.registry is not None
        where = msgspec.structs.replace(settings.registry, counters_env="VALKEY_URL")
        settings = msgspec.structs.replace(settings, registry=where)
        with GatewayProcess(settings) as one, GatewayProcess(settings) as two:
            assert told(ask(one)) == "miss"
            wait_until(lambda: told(ask(two, stream=True)) == "hit")
            assert told(ask(two, key=TINY)) == "miss"
            asked = len(engine.asked)
            server.kill()
            answer = ask(two)
            assert (answer.status_code, told(answer)) == (200, "miss")
            assert len(engine.asked) == asked + 1
            assert two.metric("penstock_cache_failures_total") >= 1
