"""`penstock tools`, over the built-in tools, an SQLite file and an MCP server."""

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import Run
from tests.fakes import mcp_tools


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "orders.db")) as database, database:
        database.execute("CREATE TABLE orders (id, org)")
        database.execute("INSERT INTO orders VALUES (7, 'org-a')")
    query = {"sql": "SELECT id FROM orders WHERE org = :tenant", "about": "All orders"}
    told = {
        "tools": {
            "orders": {"database": "orders.db", "queries": {"all": query}, "approve": ["all"]}
        },
        "tenants": {"org-a": {"tools": ["orders"]}, "org-b": {"tools": ["calculate_math"]}},
    }
    file = tmp_path / "penstock.yaml"
    file.write_text(yaml.safe_dump(told, sort_keys=False))
    return file


@pytest.mark.usefixtures("manifest")
def test_tools_are_listed_as_a_tenant_has_them(run: Run) -> None:
    assert run("tools", "list", "--tenant", "org-a").out.split() == (
        ["orders_all", "All", "orders", "(waits", "for", "approval)"]
    )
    named = json.loads(run("tools", "list", "--json").out)
    assert [each["function"]["name"] for each in named][-2:] == ["search_database", "orders_all"]


@pytest.mark.usefixtures("manifest")
def test_a_tool_is_called(run: Run) -> None:
    ran = run("tools", "call", "orders_all", "--tenant", "org-a", "--json")
    assert ran.code == 0
    assert json.loads(json.loads(ran.out)["result"]) == {"count": 1, "rows": [{"id": 7}]}
    assert run("tools", "call", "calculate_math", '{"expression": "6*7"}').out.strip() == (
        '{"expression": "6*7", "result": 42}'
    )


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("call", "orders_all", "--tenant", "org-b"),
            "org-b is granted no tool orders_all",
        ),
        (("call", "calculate_maths"), "Did you mean calculate_math?"),
        (("call", "calculate_math", "{"), "not a JSON object"),
        (("call", "calculate_math", "{}"), "do not fit"),
        (("call",), "which tool"),
        (("list", "--tenant", "org-c"), "no tenant org-c"),
        (("list", "--tenant", "orga"), "Did you mean org-a"),
    ],
)
def test_what_fails_is_told(run: Run, arguments: tuple[str, ...], said: str) -> None:
    ran = run("tools", *arguments)
    assert ran.code != 0
    assert said in ran.out + ran.err


def test_sources_are_tested(run: Run, manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.cli.tools._WAIT_S", 60.0)  # a server starts, on any machine
    told = yaml.safe_load(manifest.read_text())
    command = [sys.executable, str(Path(mcp_tools.__file__))]
    told["tools"]["fake"] = {"command": command, "only": ["add"]}
    manifest.write_text(yaml.safe_dump(told, sort_keys=False))
    ran = run("tools", "test", "--json")
    assert json.loads(ran.out) == [
        {"source": "orders", "tools": ["orders_all"]},
        {"source": "fake", "tools": ["fake_add"]},
    ]
    assert ran.code == 0
