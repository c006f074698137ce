"""Tool calls on the books: limits, metrics, one line of the ledger each."""

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.fakes.gateway_answers import call_events, chat_events, streamed
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.fakes.mcp_server import McpProcess
from tests.gateway.gateway_process import ALICE, TINY, GatewayProcess, raw_chat
from tests.gateway.registry_gateway import entries, entries_when, registry_settings

from penstock.gateway.settings import TenantSettings, ToolSettings


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> McpProcess:
    return McpProcess("stdio", tmp_path_factory.mktemp("mcp") / "notes")


@pytest.fixture(scope="module")
def booked(
    _engine: ScriptedEngine, notes: McpProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("books")
    source = notes.told(only=("add", "fail", "wait"))
    plain = registry_settings({"engine": _engine.url}, folder, str(folder / "registry.db"))
    tools = ("fake", "calculate_math")
    tenants = (
        msgspec.structs.replace(plain.tenants[0], tools=tools),
        plain.tenants[1],
        TenantSettings("tiny", tools=tools, concurrent_requests=1, burst=1000,
                       requests_per_second=1000),
    )  # fmt: skip
    settings = msgspec.structs.replace(
        plain, tools=ToolSettings(sources=(source,), call_timeout_s=5.0), tenants=tenants
    )
    with GatewayProcess(settings) as process:
        wait_until(lambda: len(process.get("/tools").json()["tools"]) == 4)
        yield process


def new_lines(gateway: GatewayProcess, before: set[str], many: int) -> list[dict[str, Any]]:
    found = entries_when(gateway, lambda now: len(now.keys() - before) >= many)
    return [found[name] for name in sorted(found.keys() - before)]


def mcp(gateway: GatewayProcess, key: str, name: str, **arguments: object) -> Any:
    params = {"name": name, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    return gateway.post("/mcp", body, key)


def test_a_line_for_each_call_that_was_run(booked: GatewayProcess, engine: ScriptedEngine) -> None:
    before = set(entries(booked))
    calls = call_events(
        ("1", "fake_add", '{"a": 1, "b": 2}'), ("2", "fake_fail", '{"why": "no luck"}'),
        ("3", "calculate_math", '{"expression": "6*7"}'), ("4", "fake_add", "no JSON"),
        ("5", "no_such_tool", "{}"),
    )  # fmt: skip
    engine.play(streamed(calls), streamed(chat_events(["Done."])))
    assert booked.chat(key=ALICE).status_code == 200
    request, *tools = new_lines(booked, before, 4)
    assert request["kind"] == "request"
    assert {line["request_id"].partition("/")[0] for line in tools} == {request["request_id"]}
    seen = {(line["model"], line["outcome"], line["note"]) for line in tools}
    assert seen == {
        ("fake_add", "complete", "ok"),
        ("fake_fail", "failed", "error"),
        ("calculate_math", "complete", "ok"),
    }
    assert all(line["kind"] == "tool" and line["tenant"] == "alice" for line in tools)
    assert all(line["cost_nano_usd"] == 0 and line["total_ms"] >= 0 for line in tools)


def test_a_call_that_was_given_up_has_a_line(
    booked: GatewayProcess, engine: ScriptedEngine, notes: McpProcess
) -> None:
    before = set(entries(booked))
    notes.forget()
    engine.play(streamed(call_events(("1", "fake_wait", "{}"))))
    with booked.connect() as client:
        client.send(raw_chat().replace(b"ps-bob-secret", ALICE.encode()))
        wait_until(lambda: notes.noted() == ["waiting"])
    lines = new_lines(booked, before, 2)
    assert [(each["kind"], each["outcome"]) for each in lines] == [
        ("request", "client_gone"), ("tool", "client_gone")
    ]  # fmt: skip
    wait_until(lambda: notes.noted() == ["waiting", "cancelled"])  # else among the next one's


def test_calls_by_mcp_are_on_the_books_too(booked: GatewayProcess) -> None:
    before = set(entries(booked))
    counted = booked.metric("tool_calls_total", tool="fake_add", tenant="alice", outcome="ok")
    assert json.loads(
        mcp(booked, ALICE, "fake_add", a=1, b=2).json()["result"]["content"][0]["text"]
    )
    (line,) = new_lines(booked, before, 1)
    assert (line["kind"], line["model"], line["tenant"]) == ("tool", "fake_add", "alice")
    after = booked.metric("tool_calls_total", tool="fake_add", tenant="alice", outcome="ok")
    assert after == counted + 1


def test_limits_hold_for_mcp(booked: GatewayProcess, notes: McpProcess) -> None:
    notes.forget()
    params = {"name": "fake_wait", "arguments": {}, "_meta": {"progressToken": "p"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    content = json.dumps(body).encode()
    with booked.connect() as client:
        head = f"POST /mcp HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TINY}\r\n"
        head += f"accept: text/event-stream\r\ncontent-length: {len(content)}\r\n\r\n"
        client.send(head.encode() + content)
        wait_until(lambda: notes.noted() == ["waiting"])
        refused = mcp(booked, TINY, "calculate_math", expression="1+1")
        assert refused.status_code == 429
        assert booked.metric("penstock_refusals_total", status="429") == 1
        assert "at the same time" in refused.json()["error"]["message"]
    deadline = time.monotonic() + 60
    while mcp(booked, TINY, "calculate_math", expression="1+1").status_code != 200:
        assert time.monotonic() < deadline, "the place was not given back"
        time.sleep(0.02)
