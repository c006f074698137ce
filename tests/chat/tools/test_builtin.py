"""The tools that come with Penstock, as the gateway gets them."""

import json
from pathlib import Path

import pytest
from tests.fakes.chat_tools import steps_of

from penstock.chat.accumulate import Call
from penstock.chat.calls import Bounds, CallRunner
from penstock.chat.toolbox import Toolbox
from penstock.chat.tools.builtin import BuiltinSettings, builtin_tools
from penstock.chat.tools.climate import ClimateTable
from penstock.ground.errors import UserError


def test_the_three_tools_and_their_parameters_are_those_the_model_knows() -> None:
    tools = builtin_tools(BuiltinSettings())
    assert [tool.name for tool in tools] == [
        "get_current_weather",
        "calculate_math",
        "search_database",
    ]
    assert all(tool.idempotent for tool in tools)
    definitions = json.loads(bytes(Toolbox(tools).definitions))
    shapes = [
        (sorted(function["parameters"]["properties"]), function["parameters"]["required"])
        for function in (definition["function"] for definition in definitions)
    ]
    assert shapes == [
        (["location", "unit"], ["location"]),
        (["expression"], ["expression"]),
        (["query"], ["query"]),
    ]


def test_a_missing_database_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be searched"):
        builtin_tools(BuiltinSettings(database=str(tmp_path / "none.db")))


@pytest.mark.parametrize(
    ("name", "arguments", "outcome", "start"),
    [
        ("get_current_weather", {"location": "Paris"}, "ok", '{"location": "Paris", "temp'),
        ("get_current_weather", {"location": "Atlantis"}, "error", '{"error": "no weather data'),
        ("get_current_weather", {"location": "Paris", "unit": "kelvin"}, "invalid", '{"error"'),
        ("calculate_math", {"expression": "1/0"}, "error", '{"error": "division by zero"}'),
        ("calculate_math", {}, "invalid", '{"error"'),
        ("search_database", {"query": "lamps"}, "ok", '{"query": "lamps", "count": 2, "res'),
    ],
)
async def test_they_run_as_calls(
    name: str, arguments: dict[str, object], outcome: str, start: str
) -> None:
    tools = builtin_tools(BuiltinSettings(weather=ClimateTable()))
    call = Call(id="c", name=name, arguments=json.dumps(arguments))
    runner = CallRunner(Toolbox(tools), Bounds(), deadline_s=float("inf"))
    *_, finished = [step async for step in steps_of(runner, [call])]
    assert getattr(finished, "outcome", None) == outcome
    assert call.result.startswith(start)
