"""Approvals across replicas and restarts: an answer is taken once, whoever asked."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from tests.fakes.databases import postgres
from tests.fakes.gateway_answers import call_events, chat_events, streamed
from tests.fakes.gateway_engine import ScriptedEngine
from tests.gateway.gateway_process import GatewayProcess
from tests.gateway.registry_gateway import registry_settings

from penstock.chat.tools.described import Query, SourceSettings
from penstock.gateway.settings import Settings, ToolSettings

HI: Any = {"role": "user", "content": "hi"}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "registry.db")
        return
    with postgres() as server:
        yield server.make("registry")


@pytest.fixture
def settings(
    engine: ScriptedEngine, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("TURNS_KEY", "k" * 32)
    orders = tmp_path / "orders.db"
    with closing(sqlite3.connect(orders)) as opened, opened:
        opened.execute("CREATE TABLE orders (id)")
    query = Query("orders_all", "Orders", "SELECT id FROM orders")
    source = SourceSettings("orders", queries=(query,), url=str(orders), approve=("all",))
    plain = registry_settings({"engine": engine.url}, tmp_path / "slots", database)
    alice, *others = plain.tenants
    return msgspec.structs.replace(
        plain,
        tools=ToolSettings(sources=(source,), continuation_key_env="TURNS_KEY"),
        tenants=(msgspec.structs.replace(alice, tools=("orders",)), *others),
    )


def test_another_replica_and_a_restart_know_what_was_answered(
    settings: Settings, engine: ScriptedEngine
) -> None:
    engine.play(streamed(call_events(("call-1", "orders_all", "{}"))))
    with GatewayProcess(settings) as first, GatewayProcess(settings) as second:
        done = ask(first, [HI])
        message = done.choices[0].message
        content = '{"approved": true}'
        yes = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": content}
        engine.play(streamed(chat_events(["None."])))
        again = ask(second, [HI, message, yes])
        assert again.choices[0].message.content == "None."
        asked = len(engine.asked)
        for gateway in (first, second):
            with pytest.raises(openai.BadRequestError, match="answered before"):
                ask(gateway, [HI, message, yes])
    refused = pytest.raises(openai.BadRequestError, match="answered before")
    with GatewayProcess(settings) as third, refused:
        ask(third, [HI, message, yes])
    assert len(engine.asked) == asked, "a replay reaches no engine"


def ask(gateway: GatewayProcess, messages: list[Any]) -> Any:
    with gateway.sdk() as sdk:
        return sdk.chat.completions.create(model="scripted", messages=messages)
