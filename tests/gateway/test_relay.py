"""Requests that go straight through: bytes, failures, clients that leave."""

import json
import random
import signal
import socket
import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest
from openai import APIError, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from tests.fakes.gateway_answers import (
    DONE,
    LAST,
    STREAM_HEAD,
    USAGE,
    chat_events,
    chunk,
    completion,
    delta,
    event,
    plain,
    streamed,
    usage_event,
)
from tests.fakes.gateway_engine import Act, ScriptedEngine, scripted_engine, wait_until
from tests.gateway.gateway_process import (
    BOB,
    PATIENT,
    GatewayProcess,
    RawClient,
    chat_body,
    raw_chat,
    settings_for,
)


def read_stream(client: RawClient) -> bytes:
    """Read a streamed response; return its payload."""
    status, headers = client.read_head()
    assert status == 200, client.got
    assert headers["content-type"].startswith("text/event-stream")
    return read_chunks(client)


def read_chunks(client: RawClient) -> bytes:
    payload = b""
    while size := int(client.read_until(b"\r\n"), 16):
        payload += client.read(size)
        assert client.read(2) == b"\r\n"
    assert client.read(2) == b"\r\n"
    return payload


def stream_of(gateway: GatewayProcess, body: object = None) -> bytes:
    with gateway.connect() as client:
        client.send(raw_chat(json.dumps(body or chat_body(stream=True)).encode()))
        return read_stream(client)


HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
WORDS = ["Hel", "lo", ' {"usage": 1}', " [DONE] ", "é😀", "\n\n", "!"]


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_comes_as_it_is(
    gateway: GatewayProcess, engine: ScriptedEngine, usage: bool
) -> None:
    events = chat_events(WORDS)
    engine.play(streamed(events))
    options = {"stream_options": {"include_usage": True}} if usage else {}
    got = stream_of(gateway, chat_body(stream=True) | options)
    assert got == b"".join(each for each in events if usage or each != usage_event())
    asked = engine.asked[0].json
    assert asked == chat_body(stream=True, stream_options={"include_usage": True})


def test_a_plain_answer_comes_as_it_is(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    body = b'{ "unusual" : "spacing", "choices":[] }'
    engine.play(plain(body))
    answer = gateway.chat()
    assert answer.content == body
    assert engine.asked[0].json == chat_body()


EVENTS = chat_events(WORDS)
WHOLE = b"".join(streamed(EVENTS))
PAYLOAD = b"".join(each for each in EVENTS if each != usage_event())


def test_any_one_cut_of_the_engines_bytes(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    with gateway.connect() as client:
        for at in range(1, len(WHOLE), 7):
            engine.play([WHOLE[:at], WHOLE[at:]])
            client.send(raw_chat(stream=True))
            assert read_stream(client) == PAYLOAD, at


def test_any_cuts_of_the_engines_bytes(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    dice = random.Random(7)
    with gateway.connect() as client:
        for _ in range(60):
            cuts = sorted(dice.sample(range(1, len(WHOLE)), dice.randint(2, 40)))
            bounds = [0, *cuts, len(WHOLE)]
            engine.play([WHOLE[a:b] for a, b in pairwise(bounds)])
            client.send(raw_chat(stream=True))
            assert read_stream(client) == PAYLOAD, cuts


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
def test_any_chunks_of_the_engine(
    gateway: GatewayProcess, engine: ScriptedEngine, size: int
) -> None:
    data = b"".join(EVENTS)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    engine.play(streamed(pieces))
    assert stream_of(gateway) == PAYLOAD


def test_a_stream_that_ends_with_its_connection(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    head = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    engine.play([head, *EVENTS, Act.CLOSE])
    assert stream_of(gateway) == PAYLOAD


def test_crlf_events(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    events = [each.replace(b"\n", b"\r\n") for each in chat_events(["a", "b"])]
    engine.play(streamed(events))
    assert stream_of(gateway) == b"".join(each for each in events if b'"usage"' not in each)


def test_completions_go_the_same_way(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play(plain({"object": "text_completion", "choices": [], "usage": USAGE}))
    answer = gateway.post("/v1/completions", {"model": "scripted", "prompt": "x"}, BOB)
    assert answer.json()["object"] == "text_completion"
    assert engine.asked[0].path == "/v1/completions"


@pytest.mark.parametrize("act", [Act.CLOSE, Act.DIE])
def test_an_engine_that_dies_in_mid_stream(
    gateway: GatewayProcess, engine: ScriptedEngine, act: Act
) -> None:
    """At any byte behind the first event: whole events, then an error, and never `[DONE]`."""
    first = len(STREAM_HEAD) + len(chunk(EVENTS[0]))
    with gateway.connect() as client:
        for at in range(first, len(WHOLE) - len(chunk(DONE) + LAST), 11):
            engine.play([WHOLE[:at], act])
            client.send(raw_chat(stream=True))
            got = read_stream(client)
            *events, error = got.split(b"\n\n")[:-1]
            assert PAYLOAD.startswith(b"".join(each + b"\n\n" for each in events))
            assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "engine_died"
            assert not got.endswith(DONE)


def test_the_sdk_raises_when_the_engine_dies(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([STREAM_HEAD, *(chunk(each) for each in chat_events(["a", "b"])[:2]), Act.DIE])
    stream = gateway.sdk(BOB).chat.completions.create(model="scripted", messages=HI, stream=True)
    got: list[str | None] = []
    with pytest.raises(APIError, match="went away"):
        got.extend(each.choices[0].delta.content for each in stream)
    assert got == ["", "a"]


def test_a_stream_without_done_is_an_error(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(streamed(chat_events(["a"])[:-1]))
    got = stream_of(gateway)
    assert b"ended its stream early" in got
    assert b"[DONE]" not in got


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ([Act.CLOSE], 502, "engine_died"),
        ([Act.DIE], 502, "engine_died"),
        ([b"HTTP/1.1 200 OK\r\n", Act.DIE], 502, "engine_died"),
        ([STREAM_HEAD, Act.DIE], 502, "engine_died"),
        ([STREAM_HEAD, b"zz\r\n", Act.WAIT], 502, "engine_died"),
        ([b"nonsense\r\n\r\n", Act.WAIT], 502, "engine_died"),
        (plain({"error": {"message": "no memory"}}, "500 Oh"), 502, "engine_error"),
        (plain({"error": {"message": "bad key"}}, "401 No"), 502, "engine_error"),
        (plain(b"<html>", "503 Busy"), 502, "engine_error"),
        (plain(b"", "302 Found", b"location: http://x/\r\n"), 502, "engine_error"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 502, "engine_error"),
        (plain(b"nope", "400 Bad"), 400, "engine_refused"),
        (plain({"error": {"message": "too long", "code": "x"}}, "400 Bad"), 400, "x"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_comes_of_a_failing_engine(
    gateway: GatewayProcess, engine: ScriptedEngine, script: list[bytes], status: int, code: str,
    stream: bool,
) -> None:  # fmt: skip
    engine.play(script)
    answer = gateway.chat(stream=stream)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"] == code


def test_an_error_of_a_streamed_request_keeps_its_status(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(plain({"error": {"message": "too many tokens"}}, "422 No"))
    answer = gateway.chat(stream=True)
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "too many tokens")


def test_a_refusal_of_the_engine_comes_as_it_is(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    """vLLM's own type and code: a client that worked with vLLM goes on working."""
    body = b'{"error": {"message":"no", "type":"BadRequestError", "param":null, "code":400}}'
    engine.play(plain(body, "400 Bad"))
    assert gateway.chat().content == body


def test_an_error_event_of_the_engine_passes(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    told = event({"error": {"message": "out of memory", "code": 500}})
    engine.play(streamed([delta("a"), told, DONE]))
    assert told in stream_of(gateway)


def test_nobody_listens(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.stop()
    try:
        first, second = gateway.chat(), gateway.chat()
        wait_until(lambda: gateway.get("/ready", None).status_code == 503)
    finally:
        engine.start()
    assert {first.status_code, second.status_code} == {503}
    assert second.headers["retry-after"] == "2"
    assert second.json()["error"]["code"] == "engine_unavailable"
    wait_until(lambda: gateway.get("/ready", None).status_code == 200)
    assert gateway.chat().status_code == 200


# Clients that leave


def test_a_client_that_leaves_at_any_chunk_frees_the_engine(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    pieces = streamed(chat_events(["a", "b", "c"], usage=False))
    before = gateway.metric("penstock_requests_total", tenant="bob", outcome="client_gone")
    for count in range(len(pieces)):
        engine.play([*pieces[:count], Act.WAIT])
        with gateway.connect() as client:
            client.send(raw_chat(stream=True))
            wait_until(lambda: engine.running == 1)
            for _ in range(1, count):
                client.read_until(b"\n\n\r\n")
            if count % 2:  # reset instead of close
                client.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
        wait_until(lambda count=count: engine.aborted == count + 1)  # type: ignore[misc]
        wait_until(lambda: engine.running == 0)
    gone = gateway.metric("penstock_requests_total", tenant="bob", outcome="client_gone")
    assert gone - before == len(pieces)
    assert gateway.metric("penstock_engine_outstanding") == 0


def test_a_client_that_leaves_a_plain_request_frees_the_engine(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([Act.WAIT])
    with gateway.connect() as client:
        client.send(raw_chat())
        wait_until(lambda: engine.running == 1)
    wait_until(lambda: engine.aborted == 1)


def test_the_sdk_closing_its_stream_frees_the_engine(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play([*streamed(chat_events(["a", "b"]))[:3], Act.WAIT])
    sdk: OpenAI = gateway.sdk(BOB)
    with sdk.chat.completions.create(model="scripted", messages=HI, stream=True) as stream:
        next(stream)
    wait_until(lambda: engine.aborted == 1)


# Two engines


@pytest.fixture(scope="module")
def _pair() -> Iterator[tuple[GatewayProcess, ScriptedEngine, ScriptedEngine]]:
    with scripted_engine() as one, scripted_engine() as other:
        engines = {"one": one.url, "other": other.url}
        with GatewayProcess(settings_for(engines, breaker=PATIENT)) as process:
            yield process, one, other


@pytest.fixture
def pair(
    _pair: tuple[GatewayProcess, ScriptedEngine, ScriptedEngine],
) -> tuple[GatewayProcess, ScriptedEngine, ScriptedEngine]:
    """A gateway with two engines."""
    for engine in _pair[1:]:
        engine.reset()
    wait_until(lambda: not _pair[0].get("/ready", None).json()["engines_down"])
    return _pair


Pair = tuple[GatewayProcess, ScriptedEngine, ScriptedEngine]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "script", [[Act.DIE], [b"HTTP/1.1 200 OK\r\n", Act.DIE], [STREAM_HEAD, Act.CLOSE]], ids=str
)
def test_another_engine_is_asked_before_the_first_byte(
    pair: Pair, script: list[bytes | Act], stream: bool
) -> None:
    gateway, one, other = pair
    events = chat_events(["ok"], usage=False)
    good = streamed(events) if stream else plain(completion("ok"))
    one.play(script)
    other.play(good)
    for _ in range(3):
        answer = gateway.chat(stream=stream)
        assert answer.status_code == 200
        assert "ok" in answer.text
    assert len(other.asked) == 3
    assert one.asked


def test_the_other_engine_serves_while_one_is_down(pair: Pair) -> None:
    gateway, one, other = pair
    other.play(plain(completion("other")))
    one.play(plain(completion("one")))
    one.stop()
    try:
        for _ in range(4):
            assert "other" in gateway.chat().text
        wait_until(lambda: gateway.get("/ready", None).json()["engines_down"] == ["one"])
        assert gateway.get("/ready", None).status_code == 200
        assert gateway.metric("penstock_engine_up", engine="one") == 0
        assert gateway.metric("penstock_engine_up", engine="other") == 1
    finally:
        one.start()


def test_the_least_busy_engine_is_asked(pair: Pair) -> None:
    gateway, one, other = pair
    for engine in (one, other):
        engine.play([Act.WAIT, *plain(completion())])
    with gateway.connect() as a, gateway.connect() as b:
        a.send(raw_chat())
        wait_until(lambda: one.running + other.running == 1)
        b.send(raw_chat())
        wait_until(lambda: one.running == other.running == 1)
        for engine in (one, other):
            engine.release()
        assert a.read_answer()[0] == b.read_answer()[0] == 200


@pytest.fixture(scope="module")
def _hasty(_engine: ScriptedEngine) -> Iterator[GatewayProcess]:
    settings = settings_for({"engine": _engine.url}, request_timeout_s=2.0, breaker=PATIENT)
    with GatewayProcess(settings) as process:
        yield process


@pytest.fixture
def hasty(_hasty: GatewayProcess, engine: ScriptedEngine) -> GatewayProcess:
    """A gateway over `engine` with two seconds for each request."""
    wait_until(lambda: _hasty.get("/ready", None).status_code == 200)
    return _hasty


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_that_takes_too_long(
    hasty: GatewayProcess, engine: ScriptedEngine, stream: bool
) -> None:
    engine.play([Act.WAIT])
    answer = hasty.chat(stream=stream)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "timeout"
    wait_until(lambda: engine.aborted == 1)


def test_a_stream_that_takes_too_long(hasty: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play([STREAM_HEAD, chunk(delta("a")), Act.WAIT])
    got = stream_of(hasty)
    assert got.startswith(delta("a"))
    assert b'"code":"timeout"' in got
    assert b"[DONE]" not in got
    wait_until(lambda: engine.aborted == 1)


# The end of the gateway


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_running_streams_are_finished_at_the_end(
    engine: ScriptedEngine, sign: signal.Signals
) -> None:
    pieces = streamed(EVENTS)
    engine.play([*pieces[:3], Act.WAIT, *pieces[3:]])
    with (
        GatewayProcess(settings_for({"engine": engine.url})) as gateway,
        gateway.connect() as client,
        gateway.connect() as idle,
    ):
        client.send(raw_chat(stream=True))
        wait_until(lambda: engine.running)
        gateway.process.send_signal(sign)
        assert idle.read_all() == b""
        engine.release()
        assert read_stream(client) == PAYLOAD
        assert client.read_all() == b""
        assert gateway.process.wait(60) == (130 if sign == signal.SIGINT else -sign)


def test_a_stream_that_goes_on_too_long_is_cut_at_the_end(engine: ScriptedEngine) -> None:
    engine.play([*streamed(EVENTS)[:3], Act.WAIT])
    with (
        GatewayProcess(settings_for({"engine": engine.url}, drain_s=1.0)) as gateway,
        gateway.connect() as client,
    ):
        client.send(raw_chat(stream=True))
        wait_until(lambda: engine.running)
        gateway.process.terminate()
        got = client.read_all()
        gateway.process.wait(60)
    assert b"[DONE]" not in got
    assert b'"error"' in got
    wait_until(lambda: engine.aborted == 1)
