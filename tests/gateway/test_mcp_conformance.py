"""The public MCP conformance suite against `/mcp`."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes import mcp_suite_tools
from tests.fakes.gateway_engine import ScriptedEngine, wait_until
from tests.fakes.npm_suite import command, with_key
from tests.gateway.gateway_process import ALICE, GatewayProcess, settings_for

from penstock.chat.tools.described import Operation, SourceSettings
from penstock.gateway.settings import TenantSettings, ToolSettings

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}
APPLY = (
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-with-progress",
    "tools-call-error",
    "json-schema-2020-12",
    "dns-rebinding-protection",
)
CANNOT_APPLY = {
    "logging-set-level": "the log is the operator's, not a client's",
    "tools-call-with-logging": "the same",
    "completion-complete": "tools have no arguments to complete by prompts or resources",
    "tools-call-sampling": "the server asks the client for nothing: it keeps no session",
    "tools-call-elicitation": "the same",
    "elicitation-sep1034-defaults": "the same",
    "elicitation-sep1330-enums": "the same",
    "server-sse-polling": "streams are not resumed: there is no session",
    "server-sse-multiple-streams": "the same",
    "resources-list": "tools alone are served; a source's resources are two tools",
    "resources-read-text": "the same",
    "resources-read-binary": "the same",
    "resources-templates-read": "the same",
    "resources-subscribe": "the same",
    "resources-unsubscribe": "the same",
    "prompts-list": "prompts are the client's own",
    "prompts-get-simple": "the same",
    "prompts-get-with-args": "the same",
    "prompts-get-embedded-resource": "the same",
    "prompts-get-with-image": "the same",
}


@pytest.fixture(scope="module")
def suite() -> tuple[str, str]:
    return command()


@pytest.fixture(scope="module")
def served(_engine: ScriptedEngine) -> Iterator[GatewayProcess]:
    """A gateway whose sources give tools with the names that the suite knows."""
    program = (sys.executable, str(Path(mcp_suite_tools.__file__)))
    operation = Operation("json_schema_2020_12_tool", "", "GET", "/", SCHEMA)
    sources = (
        SourceSettings("test", mcp_command=program),
        SourceSettings("json", operations=(operation,), url="http://127.0.0.1:9"),
    )
    settings = settings_for(
        {"engine": _engine.url},
        tools=ToolSettings(sources=sources),
        tenants=(
            TenantSettings("alice", tools=("test", "json")),
            TenantSettings("bob"),
            TenantSettings("tiny"),
        ),
    )
    with GatewayProcess(settings) as process:
        wait_until(lambda: len(process.get("/tools").json()["tools"]) > 5)
        yield process


@pytest.mark.parametrize("scenario", APPLY)
async def test_a_scenario(suite: tuple[str, str], served: GatewayProcess, scenario: str) -> None:
    async with with_key(served.port, ALICE) as port:
        said = await _run(*suite, "server", "--url", f"http://127.0.0.1:{port}/mcp",
                          "--scenario", scenario)  # fmt: skip
    assert "FAILURE" not in said, said
    assert "Passed" in said, said


async def test_every_scenario_is_spoken_of(suite: tuple[str, str]) -> None:
    listed = (await _run(*suite, "list")).partition("Client scenarios")[0]
    names = {line.strip(" -") for line in listed.splitlines() if line.startswith("  - ")}
    assert names == set(APPLY) | CANNOT_APPLY.keys()


async def _run(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
    return said.decode()
