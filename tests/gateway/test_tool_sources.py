"""Sources of tools behind a real gateway, and approval with the plain SDK."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import httpx2
import msgspec
import openai
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent
from tests.fakes.gateway_answers import call_events, chat_events, streamed
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.fakes.mcp_server import McpProcess
from tests.gateway.gateway_process import (
    ALICE,
    BOB,
    GatewayProcess,
    key_settings,
    raw_chat,
    settings_for,
)

from penstock.chat.tools.described import Query, SourceSettings
from penstock.gateway.settings import TenantSettings, ToolSettings

CAROL = "ps-carol-secret"
HI: Any = {"role": "user", "content": "hi"}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> McpProcess:
    """The MCP server behind `tools_gateway`, which the gateway starts."""
    return McpProcess("stdio", tmp_path_factory.mktemp("mcp") / "notes")


@pytest.fixture(scope="module")
def tools_gateway(
    _engine: ScriptedEngine, notes: McpProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    file = tmp_path_factory.mktemp("orders") / "orders.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE orders (id, org)")
        database.execute("INSERT INTO orders VALUES (1, 'alice'), (2, 'bob')")
    query = Query("orders_all", "Orders", "SELECT id, org FROM orders WHERE org = :tenant")
    sources = (
        SourceSettings("orders", queries=(query,), url=str(file), approve=("all",)),
        notes.told(only=("add",)),
        msgspec.structs.replace(notes.told(only=("wait", "count")), name="slow"),
    )
    tenants = (
        TenantSettings("alice", tools=("orders", "fake")),
        TenantSettings("bob", tools=("orders",)),
        TenantSettings("carol", tools=("slow",)),
        TenantSettings("tiny"),
    )
    settings = settings_for(
        {"engine": _engine.url}, tools=ToolSettings(sources=sources), tenants=tenants
    )
    keys = (*settings.keys, key_settings(CAROL, "carol"))
    settings = msgspec.structs.replace(settings, keys=keys)
    with GatewayProcess(settings) as process:
        wait_until(lambda: len(process.get("/tools", ALICE).json()["tools"]) == 2)
        wait_until(lambda: len(process.get("/tools", CAROL).json()["tools"]) == 2)
        yield process


def test_each_tenant_sees_its_tools(tools_gateway: GatewayProcess) -> None:
    for key, names in ((ALICE, ["orders_all", "fake_add"]), (BOB, ["orders_all"])):
        tools = tools_gateway.get("/tools", key).json()["tools"]
        assert [tool["function"]["name"] for tool in tools] == names


def test_a_tool_of_an_mcp_server_is_run(
    tools_gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    calls = call_events(("call-1", "fake_add", '{"a": 1, "b": 2}'))
    engine.play(streamed(calls), streamed(chat_events(["3"])))
    assert tools_gateway.chat(key=ALICE).json()["choices"][0]["message"]["content"] == "3"
    assert engine.asked[-1].json["messages"][-1]["content"] == '{"sum": 3}'


def test_a_streaming_client_sees_how_far_a_tool_is(
    tools_gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    calls = call_events(("call-1", "slow_count", '{"to": 2}'))
    engine.play(streamed(calls), streamed(chat_events(["Two."])))
    text = tools_gateway.chat(key=CAROL, stream=True).text
    notes = [json.loads(line[16:]) for line in text.split("\n") if line.startswith(": penstock")]
    told = [note for note in notes if note["status"] == "progress"]
    assert [(note["progress"], note["total"], note["message"]) for note in told] == [
        (1, 2, "step 1"), (2, 2, "step 2")
    ]  # fmt: skip
    engine.play(streamed(calls), streamed(chat_events(["Two."])))
    with (
        tools_gateway.sdk(CAROL) as sdk,
        sdk.chat.completions.stream(model="scripted", messages=[HI]) as events,
    ):
        assert events.get_final_completion().choices[0].message.content == "Two."


def test_a_client_that_leaves_cancels_the_call_at_the_server(
    tools_gateway: GatewayProcess, engine: ScriptedEngine, notes: McpProcess
) -> None:
    notes.forget()
    engine.play(streamed(call_events(("call-1", "slow_wait", "{}"))))
    with tools_gateway.connect() as client:
        client.send(raw_chat().replace(BOB.encode(), CAROL.encode()))
        wait_until(lambda: notes.noted() == ["waiting"])
    wait_until(lambda: notes.noted() == ["waiting", "cancelled"])


@pytest.mark.parametrize("stream", [True, False])
def test_the_sdk_asks_approves_and_cannot_replay(
    tools_gateway: GatewayProcess, engine: ScriptedEngine, stream: bool
) -> None:
    sdk: Any = tools_gateway.sdk()
    engine.play(streamed(call_events(("call-1", "orders_all", "{}"))))
    if stream:
        with sdk.chat.completions.stream(model="scripted", messages=[HI]) as events:
            done = events.get_final_completion()
    else:
        done = sdk.chat.completions.create(model="scripted", messages=[HI])
        (asked,) = done.metadata["approvals"]
        assert (asked["name"], asked["arguments"]) == ("orders_all", "{}")
        assert asked["tool_call_id"] == done.choices[0].message.tool_calls[0].id
    message = done.choices[0].message
    yes = {
        "role": "tool",
        "tool_call_id": message.tool_calls[0].id,
        "content": '{"approved": true}',
    }
    engine.play(streamed(chat_events(["One."])))
    again = sdk.chat.completions.create(model="scripted", messages=[HI, message, yes])
    assert again.choices[0].message.content == "One."
    told = engine.asked[-1].json["messages"][-1]["content"]
    assert told == '{"count": 1, "rows": [{"id": 1, "org": "alice"}]}'
    with pytest.raises(openai.BadRequestError, match="answered before"):
        sdk.chat.completions.create(model="scripted", messages=[HI, message, yes])
    body = {"model": "scripted", "messages": [HI, message.model_dump(mode="json"), yes]}
    assert tools_gateway.post("/v1/chat/completions", body, BOB).status_code == 400


def test_where_nobody_can_be_asked_nothing_runs(
    tools_gateway: GatewayProcess, engine: ScriptedEngine
) -> None:
    engine.play(
        streamed(call_events(("call-1", "orders_all", "{}"))), streamed(chat_events(["No."]))
    )
    answer = tools_gateway.post("/invoke", {"prompt": "x", "model": "scripted"})
    assert answer.json()["generated_text"] == "No."
    assert "approval" in engine.asked[-1].json["messages"][-1]["content"]
    assert 'outcome="denied"' in tools_gateway.get("/metrics").text


async def test_penstock_is_an_mcp_server_for_the_official_client(
    tools_gateway: GatewayProcess,
) -> None:
    headers = {"authorization": f"Bearer {ALICE}"}
    async with httpx2.AsyncClient(headers=headers) as http:
        way = streamable_http_client(tools_gateway.url + "/mcp", http_client=http)
        async with Client(way) as client:
            tools = (await client.list_tools()).tools
            assert [tool.name for tool in tools] == ["fake_add"], "what waits is not offered"
            done = await client.call_tool("fake_add", {"a": 1, "b": 2})
            assert not done.is_error
            assert isinstance(done.content[0], TextContent)
            assert json.loads(done.content[0].text) == {"sum": 3}
            wrong = await client.call_tool("fake_add", {"a": "x", "b": 2})
            assert wrong.is_error
            with pytest.raises(MCPError, match="no tool orders_all"):
                await client.call_tool("orders_all", {})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[]", 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/burn"}', 200, -32601),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 7}}',
            200,
            -32602,
        ),
    ],
)
def test_what_is_no_mcp_is_told(
    tools_gateway: GatewayProcess, body: bytes, status: int, code: int
) -> None:
    answer = tools_gateway.post("/mcp", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_mcp_needs_a_key(tools_gateway: GatewayProcess) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert tools_gateway.post("/mcp", body, None).status_code == 401
    assert tools_gateway.post("/mcp", body, BOB).json()["result"] == {"tools": []}
    assert tools_gateway.get("/mcp").status_code == 405


def test_mcp_shows_a_tenant_nothing_of_others(tools_gateway: GatewayProcess) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    theirs = {**body, "params": {"name": "fake_add", "arguments": {"a": 1, "b": 1}}}
    assert "result" in tools_gateway.post("/mcp", theirs, ALICE).json()
    for key in (BOB, CAROL):
        assert tools_gateway.post("/mcp", theirs, key).json()["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (("origin", "https://evil.example"), 403),
        (("origin", "null"), 403),
        (("origin", "http://localhost:3000"), 200),
        (("mcp-protocol-version", "2025-06-18"), 200),
        (("mcp-protocol-version", "1999-01-01"), 400),
    ],
)
def test_mcp_looks_at_who_asks_and_how(
    tools_gateway: GatewayProcess, header: tuple[str, str], status: int
) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"authorization": f"Bearer {ALICE}", header[0]: header[1]}
    answer = httpx.post(tools_gateway.url + "/mcp", json=body, headers=headers, timeout=60)
    assert answer.status_code == status


def test_a_client_of_mcp_that_hangs_up_cancels_its_call(
    tools_gateway: GatewayProcess, notes: McpProcess
) -> None:
    call = {"name": "slow_wait", "arguments": {}}
    for token in ({"_meta": {"progressToken": 1}}, {}):
        notes.forget()
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**call, **token}}
        content = json.dumps(body).encode()
        with tools_gateway.connect() as client:
            head = f"POST /mcp HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CAROL}\r\n"
            head += f"accept: text/event-stream\r\ncontent-length: {len(content)}\r\n\r\n"
            client.send(head.encode() + content)
            wait_until(lambda: notes.noted() == ["waiting"])
        wait_until(lambda: notes.noted() == ["waiting", "cancelled"])
