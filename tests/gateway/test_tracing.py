"""Spans, as a real receiver of OTLP gets them."""

import itertools
import subprocess
import sys
from collections.abc import Iterator

import httpx
import msgspec
import pytest
from tests.fakes.gateway_answers import call_events, chat_events, completion, plain, streamed
from tests.fakes.gateway_engine import SICK, ScriptedEngine, scripted_engine, wait_until
from tests.fakes.mcp_server import McpProcess
from tests.fakes.otlp_receiver import OtlpReceiver, Seen, otlp_receiver
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, chat_body, settings_for

from penstock.chat.tools.described import Operation, SourceSettings
from penstock.gateway.routing.settings import RoutingSettings
from penstock.gateway.settings import (
    EngineSettings,
    ModelSettings,
    TenantSettings,
    ToolSettings,
    TracingSettings,
)
from penstock.targets.local.ports import free_port

_numbers = itertools.count(1)
SECRET = "hush-hush-prompt"


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def api() -> Iterator[ScriptedEngine]:
    """An HTTP service behind a tool."""
    with scripted_engine() as service:
        service.play(plain(b'{"fine": true}'))
        yield service


@pytest.fixture(scope="module")
def traced(
    _engine: ScriptedEngine,
    api: ScriptedEngine,
    receiver: OtlpReceiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayProcess]:
    fake = McpProcess("stdio", tmp_path_factory.mktemp("mcp") / "notes")
    operation = Operation("api_get", "", "GET", "/x", {"type": "object"})
    sources = (
        fake.told(only=("whoami", "fail")),
        SourceSettings("api", operations=(operation,), url=api.url, private=True),
    )
    plain_settings = settings_for({"engine": _engine.url}, tools=ToolSettings(sources=sources))
    bob = msgspec.structs.replace(plain_settings.tenants[1], models=("*",))
    tenants = (
        TenantSettings("alice", tools=("fake", "api", "calculate_math")),
        bob,
        *plain_settings.tenants[2:],
    )
    nobody = EngineSettings("nobody", f"http://127.0.0.1:{free_port()}")
    routing = RoutingSettings(fallback=("scripted",))
    frail = ModelSettings("frail", ("nobody",), routing=routing, elsewhere=True)
    settings = msgspec.structs.replace(
        plain_settings,
        engines=(*plain_settings.engines, nobody),
        models=(*plain_settings.models, frail),
        tenants=tenants,
        tracing=TracingSettings(receiver.url),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        process = GatewayProcess(settings)
    with process:
        wait_until(lambda: len(process.get("/tools").json()["tools"]) == 4)
        yield process


def trace_id() -> str:
    return f"{next(_numbers):032x}"


def ask(gateway: GatewayProcess, trace: str, key: str, path: str, body: object) -> httpx.Response:
    headers = {
        "authorization": f"Bearer {key}",
        "traceparent": f"00-{trace}-00000000000000aa-01",
        "tracestate": "vendor=1",
    }
    return httpx.post(gateway.url + path, json=body, headers=headers, timeout=60)


def spans(receiver: OtlpReceiver, trace: str, many: int) -> dict[str, list[Seen]]:
    wait_until(lambda: len(receiver.of(trace)) >= many)
    found: dict[str, list[Seen]] = {}
    for span in receiver.of(trace):
        found.setdefault(span.name, []).append(span)
    return found


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_that_goes_straight_through_is_one_span(
    traced: GatewayProcess, engine: ScriptedEngine, receiver: OtlpReceiver, stream: bool
) -> None:
    trace = trace_id()
    engine.play(streamed(chat_events(["a", "b"])) if stream else plain(completion()))
    body = chat_body(SECRET, stream=stream)
    assert ask(traced, trace, BOB, "/v1/chat/completions", body).status_code == 200
    (span,) = spans(receiver, trace, 1)["inference"]
    assert span.seconds > 0
    assert span.parent == "00000000000000aa"
    assert span.attributes["gen_ai.request.model"] == "scripted"
    assert span.attributes["penstock.tenant"] == "bob"
    assert span.attributes["penstock.outcome"] == "complete"
    assert span.attributes["gen_ai.usage.input_tokens"]
    assert ("gen_ai.response.time_to_first_chunk" in span.attributes) is stream
    assert not span.failed
    sent = engine.asked[-1].headers
    assert sent["traceparent"] == f"00-{trace}-{span.span}-01"
    assert sent["tracestate"] == "vendor=1"
    assert receiver.services == {"penstock-gateway"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/invoke"])
def test_a_turn_is_an_orchestration_over_inference_and_tools(
    traced: GatewayProcess,
    engine: ScriptedEngine,
    receiver: OtlpReceiver,
    api: ScriptedEngine,
    path: str,
) -> None:
    trace = trace_id()
    calls = call_events(
        ("1", "fake_whoami", "{}"), ("2", "fake_fail", '{"why": "hush-hush-argument"}'),
        ("3", "api_get", "{}"), ("4", "hush_hush_name", "{}"),
    )  # fmt: skip
    engine.play(streamed(calls), streamed(chat_events(["hush-hush-answer"])))
    body = chat_body(SECRET) if path != "/invoke" else {"prompt": SECRET, "model": "scripted"}
    assert ask(traced, trace, ALICE, path, body).status_code == 200
    found = spans(receiver, trace, 7)
    (top,) = found["orchestration"]
    assert top.parent == "00000000000000aa"
    assert top.attributes["gen_ai.operation.name"] == "invoke_agent"
    rounds, tools = found["inference"], found["tool"]
    assert {span.parent for span in (*rounds, *tools)} == {top.span}
    assert len(rounds) == 2
    ends = {str(t.attributes["gen_ai.tool.name"]): t for t in tools}
    assert {name: end.attributes["penstock.outcome"] for name, end in ends.items()} == {
        "fake_whoami": "ok", "fake_fail": "error", "api_get": "ok", "unknown": "unknown"
    }  # fmt: skip
    assert ends["fake_fail"].failed
    for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
        parts = [int(str(span.attributes[name])) for span in rounds]
        assert sum(parts) == top.attributes[name]
        assert all(parts)
    assert {asked.headers["traceparent"].split("-")[2] for asked in engine.asked[-2:]} == {
        span.span for span in rounds
    }
    assert api.asked[-1].headers["traceparent"] == f"00-{trace}-{ends['api_get'].span}-01"
    told = engine.asked[-1].json["messages"]
    assert any(f"{trace}-{ends['fake_whoami'].span}" in str(m["content"]) for m in told)


@pytest.mark.parametrize(
    ("path", "key", "root", "many"),
    [
        ("/v1/chat/completions", BOB, "inference", 1),
        ("/v1/chat/completions", ALICE, "orchestration", 2),
        ("/invoke", ALICE, "orchestration", 2),
    ],
)
def test_the_model_that_stood_in_is_the_one_that_answered(  # noqa: PLR0917  fixtures
    traced: GatewayProcess,
    engine: ScriptedEngine,
    receiver: OtlpReceiver,
    path: str,
    key: str,
    root: str,
    many: int,
) -> None:
    trace = trace_id()
    engine.play(plain(completion()) if key == BOB else streamed(chat_events(["a"])))
    body = {"prompt": "hi", "model": "frail"} if path == "/invoke" else chat_body(model="frail")
    assert ask(traced, trace, key, path, body).status_code == 200
    found = spans(receiver, trace, many)
    (span,) = found[root]
    if key == ALICE:
        assert found["inference"][-1].attributes["gen_ai.request.model"] == "scripted"
    assert span.attributes["gen_ai.request.model"] == "frail"
    assert span.attributes["gen_ai.response.model"] == "scripted"
    assert span.attributes["penstock.outcome"] == "complete"


def test_a_failed_request_is_marked(
    traced: GatewayProcess, engine: ScriptedEngine, receiver: OtlpReceiver
) -> None:
    trace = trace_id()
    engine.play(SICK)
    answer = ask(traced, trace, BOB, "/v1/chat/completions", chat_body(SECRET))
    assert answer.status_code >= 500
    (span,) = spans(receiver, trace, 1)["inference"]
    assert span.failed
    assert span.attributes["error.type"] == span.attributes["penstock.outcome"] != "complete"


def test_calls_by_mcp_are_traced(traced: GatewayProcess, receiver: OtlpReceiver) -> None:
    trace = trace_id()
    params = {"name": "calculate_math", "arguments": {"expression": "6*7"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    assert ask(traced, trace, ALICE, "/mcp", body).status_code == 200
    found = spans(receiver, trace, 2)
    assert found["tool"][0].parent == found["orchestration"][0].span


def test_what_was_not_sampled_is_not_sent_but_passed_on(
    traced: GatewayProcess, engine: ScriptedEngine, receiver: OtlpReceiver
) -> None:
    trace = trace_id()
    headers = {
        "authorization": f"Bearer {BOB}",
        "traceparent": f"00-{trace}-00000000000000aa-00",
    }
    url = f"{traced.url}/v1/chat/completions"
    assert httpx.post(url, json=chat_body(SECRET), headers=headers, timeout=60).status_code == 200
    assert engine.asked[-1].headers["traceparent"].startswith(f"00-{trace}-")
    assert engine.asked[-1].headers["traceparent"].endswith("-00")
    assert traced.post("/v1/chat/completions", b"{", BOB).status_code == 400
    again = trace_id()
    ask(traced, again, BOB, "/v1/chat/completions", chat_body(SECRET))
    assert spans(receiver, again, 1)
    assert receiver.of(trace) == []


def test_nothing_that_was_said_and_no_key_is_in_a_span(
    traced: GatewayProcess, receiver: OtlpReceiver
) -> None:
    assert receiver.spans
    for secret in ("hush-hush", "hush_hush", ALICE, BOB, "6*7", "fine"):
        assert secret.encode() not in receiver.raw


def test_a_receiver_that_is_away_harms_nothing(engine: ScriptedEngine) -> None:
    settings = settings_for({"engine": engine.url}, tracing=TracingSettings("http://127.0.0.1:9"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        patch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        with GatewayProcess(settings) as process:
            engine.play(plain(completion()))
            for _ in range(20):
                assert process.chat().status_code == 200


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", None])
def test_it_is_loaded_only_where_it_is_wanted(variable: str | None) -> None:
    code = (
        "import sys; from penstock.wiring.tracing import open_tracing;"
        "from penstock.gateway import front, turns, mcp_server;"
        "from penstock.gateway.settings import TracingSettings;"
        "open_tracing(TracingSettings());"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    environment = {"PATH": "/usr/bin", "PYTHONPATH": "src"}
    if variable:
        environment[variable] = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(variable is not None)
