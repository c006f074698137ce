"""From `penstock.yaml` to tools in a tenant's hands."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from tests.fakes.chat_weather import FakeWeather, weather_api

from penstock.chat.sources import Toolboxes
from penstock.chat.tools.from_manifest import source_settings
from penstock.chat.tools.kinds import make_toolboxes
from penstock.ground.errors import ToolError, UserError
from penstock.manifest.checks import check
from penstock.manifest.model import Manifest

DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/v1/forecast": {
            "get": {
                "operationId": "forecast",
                "parameters": [
                    {"name": "place", "in": "query", "schema": {"type": "string"}},
                    {"name": "org", "in": "query", "schema": {"type": "string"}},
                ],
            }
        }
    },
}
ENVIRONMENT = {"KEY": "shared", "KEY_B": "own"}


@pytest.fixture
async def api() -> AsyncGenerator[FakeWeather, None]:
    async with weather_api() as fake:
        yield fake


def boxes(folder: Path, url: str, **more: object) -> Toolboxes:
    document, orders = folder / "api.yaml", folder / "orders.db"
    document.write_text(yaml.safe_dump(DOCUMENT))
    with closing(sqlite3.connect(orders)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (id, org)")
        database.execute("INSERT INTO orders VALUES (7, 'org-a')")
    told = {
        "tools": {
            "sky": {
                "openapi": str(document),
                "url": url,
                "private": True,
                "secret": "${env:KEY}",
                "header": "x-api-key",
                "arguments": {"org": "{tenant}"},
                "approve": ["forecast"],
            }
            | more,
            "orders": {
                "database": str(orders),
                "queries": {"all": {"sql": "SELECT id FROM orders WHERE org = :tenant"}},
            },
        },
        "tenants": {
            "org-a": {"tools": ["sky", "orders", "calculate_math"]},
            "org-b": {
                "tools": ["sky.forecast"],
                "tool_secrets": {"sky": "${env:KEY_B}"},
                "tool_arguments": {"sky": {"org": "4711"}},
            },
        },
    }
    manifest = Manifest.model_validate(told)
    assert check(manifest) == []
    settings = [source_settings(manifest, name) for name in manifest.tools]
    return make_toolboxes(settings, ENVIRONMENT)


async def test_each_tenant_has_its_own_tools_arguments_and_results(
    tmp_path: Path, api: FakeWeather
) -> None:
    made = boxes(tmp_path, api.url)
    first = made.box("org-a", ("sky", "orders", "calculate_math"))
    second = made.box("org-b", ("sky.forecast",))
    assert first.names == ("sky_forecast", "orders_all", "calculate_math")
    assert second.names == ("sky_forecast",)
    assert first.needs_approval("sky_forecast")
    assert b'"org"' not in bytes(first.definitions)
    for box in (first, second):
        tool = box.get("sky_forecast")
        assert tool
        assert await tool.call({"place": "Paris", "org": "evil"}) == api.forecast
    assert [query for _, query in api.asked] == [
        {"place": "Paris", "org": "org-a"}, {"place": "Paris", "org": "4711"}
    ]  # fmt: skip
    orders = first.get("orders_all")
    assert orders
    assert await orders.call({}) == {"count": 1, "rows": [{"id": 7}]}


async def test_private_addresses_are_refused_unless_allowed(
    tmp_path: Path, api: FakeWeather
) -> None:
    tool = boxes(tmp_path, api.url, private=False).box("org-a", ("sky",)).get("sky_forecast")
    assert tool
    with pytest.raises(ToolError, match="not a public one"):
        await tool.call({"place": "Paris"})
    assert api.asked == []


async def test_results_of_another_tenant_are_withheld(tmp_path: Path, api: FakeWeather) -> None:
    api.forecast = {"org": "org-b", "secret": 1}
    tool = boxes(tmp_path, api.url, isolation="org").box("org-a", ("sky",)).get("sky_forecast")
    assert tool
    with pytest.raises(ToolError, match="withheld"):
        await tool.call({"place": "Paris"})


def test_a_missing_credential_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="NOT_SET"):
        boxes(tmp_path, "http://127.0.0.1:9", secret="${env:NOT_SET}")


def test_an_entry_point_that_is_not_installed_is_told() -> None:
    manifest = Manifest.model_validate({"tools": {"acme": {"python": "acme"}}})
    with pytest.raises(UserError, match="no package brings"):
        make_toolboxes([source_settings(manifest, "acme")], {})


def test_an_entry_point_brings_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_tools.py").write_text(
        "from tests.fakes.chat_tools import returns\n"
        "def make(tenant, secret):\n    return [returns('greet', [tenant, secret])]\n"
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[penstock.tools]\nacme = acme_tools:make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    manifest = Manifest.model_validate(
        {"tools": {"acme": {"python": "acme", "secret": "${env:KEY}"}}}
    )
    made = make_toolboxes([source_settings(manifest, "acme")], ENVIRONMENT)
    assert made.box("org-a", ("acme",)).names == ("acme_greet",)


def test_a_gateway_without_sources_imports_no_client() -> None:
    code = (
        "import sys; from penstock.chat.tools.kinds import make_toolboxes; make_toolboxes([], {});"
        "import json; print(json.dumps([m for m in ('httpx', 'asyncpg', 'yaml', 'pydantic')"
        " if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == []
