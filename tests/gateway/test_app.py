"""The routes that are not hot, and what `/metrics` counts."""

import json

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.fakes.gateway_answers import (
    USAGE,
    call_events,
    chat_events,
    completion,
    plain,
    streamed,
)
from tests.fakes.gateway_engine import HEALTHY, SICK, Act, Script, ScriptedEngine, wait_until
from tests.gateway.gateway_process import ALICE, BOB, GatewayProcess, settings_for

from penstock.ground import metrics


def test_health_is_about_the_process_alone(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.health = SICK
    wait_until(lambda: gateway.get("/ready", None).status_code == 503)
    assert gateway.get("/health", None).json() == {"status": "ok"}
    answer = gateway.get("/ready", None).json()
    assert (answer["status"], answer["engines_down"]) == ("starting", ["engine"])
    assert gateway.chat().status_code == 503
    engine.health = HEALTHY
    wait_until(lambda: gateway.get("/ready", None).status_code == 200)
    assert gateway.get("/ready", None).json() == {
        "status": "ready",
        "engines_down": [],
        "circuits_open": [],
        "engines_draining": [],
    }


def test_a_gateway_is_not_ready_before_it_knows(engine: ScriptedEngine) -> None:
    engine.health = [Act.WAIT, *HEALTHY]
    with GatewayProcess(settings_for({"engine": engine.url}), is_ready=False) as gateway:
        assert gateway.get("/ready", None).status_code == 503
        engine.release()
        wait_until(lambda: gateway.get("/ready", None).status_code == 200)


def test_a_gateway_whose_engine_is_not_there_is_not_ready(engine: ScriptedEngine) -> None:
    settings = settings_for({"engine": "http://127.0.0.1:9"})
    with GatewayProcess(settings, is_ready=False) as gateway:
        assert gateway.get("/ready", None).status_code == 503
        assert gateway.chat().status_code == 503
        assert gateway.get("/v1/models").status_code == 200


def test_the_first_answer_comes_soon(engine: ScriptedEngine) -> None:
    """The aim is 0.6 s on a quiet machine; here it must only not take an absurd part of a core."""
    with GatewayProcess(settings_for({"engine": engine.url}), is_ready=False) as gateway:
        spent = psutil.Process(gateway.process.pid).cpu_times()
        assert spent.user + spent.system < 8


def test_models(gateway: GatewayProcess) -> None:
    listed = gateway.get("/v1/models").json()
    assert listed["object"] == "list"
    first = listed["data"][0]
    assert first == gateway.get("/v1/models/scripted").json()
    assert first | {"created": 0} == {
        "id": "scripted",
        "object": "model",
        "created": 0,
        "owned_by": "penstock",
        "parent": None,
        "max_model_len": 2048,
    }
    assert gateway.get("/v1/models/a/b%20c").status_code == 404


OFF = ("queue", "counters", "cache", "key_source", "audit", "routed", "hedges", "shadows",
       "ledger", "budget", "batch", "clock")  # fmt: skip
SWITCHED_OFF = tuple(f"penstock_{part}" for part in OFF)
"""Parts that this gateway has not, and whose metrics are not there either."""


def test_metrics_can_be_read_and_are_all_listed(gateway: GatewayProcess) -> None:
    gateway.chat()
    families = {
        family.name: family
        for family in text_string_to_metric_families(gateway.get("/metrics", None).text)
    }
    for metric in metrics.ALL:
        name = metric.name.removesuffix("_total")
        if name not in families:
            assert name.startswith(SWITCHED_OFF), name
            continue
        family = families[name]
        assert family.documentation == metric.help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)
    assert set(families) <= {metric.name.removesuffix("_total") for metric in metrics.ALL}


def test_metrics_count_right(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    def counts() -> dict[str, float]:
        labels = {"tenant": "bob", "model": "scripted"}
        requests, tokens = "penstock_requests_total", "penstock_tokens_total"
        return {
            "complete": gateway.metric(requests, outcome="complete", **labels),
            "refused": gateway.metric(requests, outcome="engine_refused", **labels),
            "died": gateway.metric(requests, outcome="engine_died", **labels),
            "prompt": gateway.metric(tokens, kind="prompt", **labels),
            "cached": gateway.metric(tokens, kind="cached", **labels),
            "completion": gateway.metric(tokens, kind="completion", **labels),
            "estimated": gateway.metric("penstock_estimated_completion_tokens_total", **labels),
            "timed": gateway.metric("penstock_request_seconds_count", **labels),
            "first bytes": gateway.metric("penstock_ttft_seconds_count", **labels),
            "400": gateway.metric("penstock_refusals_total", status="400"),
            "404": gateway.metric("penstock_refusals_total", status="404"),
        }

    before = counts()
    usage = USAGE | {"prompt_tokens_details": {"cached_tokens": 5}}
    stream = streamed(chat_events(["a", "b", "c"]))
    cut_short: Script = [*stream[:4], Act.DIE]
    engine.play(
        plain(completion(usage=usage)),
        stream,
        plain({"error": {"message": "x"}}, "400 Bad"),
        (Act.DIE,),
        cut_short,
    )
    gateway.chat()
    gateway.chat(stream=True)
    gateway.chat()
    gateway.chat()
    gateway.chat(stream=True)
    gateway.chat(model="nothing")
    gateway.chat(temprature=1)
    after = counts()
    assert {name: after[name] - before[name] for name in after} == {
        "complete": 2,
        "refused": 1,
        "died": 2,
        "prompt": 14,
        "cached": 5,
        "completion": 6,
        "estimated": 2,
        "timed": 5,
        "first bytes": 2,
        "400": 1,
        "404": 1,
    }


def test_metrics_of_tools(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    labels = {"tool": "calculate_math", "tenant": "alice", "outcome": "ok"}
    before = gateway.metric("tool_calls_total", **labels)
    unknown = gateway.metric("tool_calls_total", tool="unknown")
    engine.play(
        streamed(
            call_events(("1", "calculate_math", '{"expression": "1+1"}'), ("2", "made_up", "{}"))
        ),
        streamed(chat_events(["2"])),
    )
    assert gateway.chat(key=ALICE).status_code == 200
    assert gateway.metric("tool_calls_total", **labels) == before + 1
    assert gateway.metric("tool_calls_total", tool="unknown") == unknown + 1
    assert gateway.metric("tool_calls_total", tool="made_up") == 0
    assert gateway.metric("tool_latency_seconds_count", tool="calculate_math") >= 1


def test_gauges(gateway: GatewayProcess, engine: ScriptedEngine) -> None:
    engine.play([Act.WAIT, *plain(completion())])
    assert gateway.metric("penstock_engine_up", engine="engine") == 1
    with gateway.connect() as client:
        body = json.dumps({"model": "scripted", "messages": []}).encode()
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nx-api-key: %b\r\n"
                    b"content-length: %d\r\n\r\n%b" % (BOB.encode(), len(body), body))  # fmt: skip
        wait_until(lambda: engine.running)
        assert gateway.metric("penstock_engine_outstanding", engine="engine") == 1
        assert gateway.metric("penstock_connections") >= 2
        engine.release()
        client.read_answer()
    wait_until(lambda: gateway.metric("penstock_engine_outstanding", engine="engine") == 0)


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json"])
def test_head_has_no_body(gateway: GatewayProcess, path: str) -> None:
    with gateway.connect() as client:
        client.send(b"HEAD %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path.encode())
        assert client.read_all().endswith(b"\r\n\r\n")


def test_an_invocation_is_counted_once_and_as_complete(
    gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    def counted(outcome: str) -> float:
        return gateway.metric("penstock_requests_total", tenant="alice", outcome=outcome)

    before = counted("complete"), counted("client_gone")
    engine.play(streamed(chat_events("Hi.")))
    answer = gateway.post("/invoke", {"prompt": "hi"}, ALICE)
    assert answer.status_code == 200, answer.text
    assert (counted("complete"), counted("client_gone")) == (before[0] + 1, before[1])
