"""MCP servers that mean harm: what they may spoil is their own tools."""

import json
import sys
from pathlib import Path

import pytest
from tests.chat.tools.test_mcp_source import call, running
from tests.fakes import mcp_hostile
from tests.fakes.chat_tools import returns, steps_of
from tests.fakes.mcp_server import until

from penstock.chat.accumulate import Call
from penstock.chat.calls import Bounds, CallRunner
from penstock.chat.events import ToolFinished, ToolProgress
from penstock.chat.sources import BuiltinSource, Toolboxes
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.maths import MathTool


def hostile(how: str, name: str = "fake", **more: object) -> SourceSettings:
    command = (sys.executable, str(Path(mcp_hostile.__file__)), how)
    return SourceSettings(name, mcp_command=command, **more)  # type: ignore[arg-type]


async def test_names_are_made_fit_and_no_two_are_alike() -> None:
    async with running(hostile("names", approve=("find.customer",))) as source:
        names = [tool.name for tool in source.tools("org-a")]
        assert names[:4] == ["fake_good", "fake_find_customer", "fake_with_space", "fake__n___"]
        assert len(names) == len(set(names)) == 7
        assert all(len(name) <= 64 for name in names)
        assert source.needs_approval("fake_find_customer"), "whatever way it is written"
        boxes = Toolboxes.of([source])
        for grant in ("fake.find.customer", "fake.find_customer"):
            assert boxes.box("org-a", (grant,)).names == ("fake_find_customer",)


async def test_a_server_cannot_take_the_place_of_another_tool() -> None:
    async with running(hostile("names", "calculate")) as source:
        own = BuiltinSource(MathTool())
        theirs = [tool.name for tool in source.tools("org-a")]
        assert "calculate_calculate_math" in theirs
        ours = returns("calculate_good", "ours")
        taken = BuiltinSource(ours)
        box = Toolboxes.of([own, taken, source]).box("org-a", ("calculate_good", "calculate"))
        assert box.get("calculate_good") is ours
        assert len(box) == len(theirs)


async def test_schemas_that_cannot_be_used_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(hostile("schemas")) as source:
        names = [tool.name for tool in source.tools("org-a")]
        assert names == ["fake_good", "fake_lies", "fake_odd"]
        assert await call(source, "good") == {"text": "fine"}
        assert await call(source, "odd") == {"text": "fine"}
    assert "answers of the MCP tool fake_odd are not checked" in caplog.text


async def test_a_list_that_is_not_to_the_protocol_gives_no_tools(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(hostile("unreadable"), reached=False) as source:
        await until(lambda: "ValidationError" in caplog.text)
        box = Toolboxes.of([BuiltinSource(MathTool()), source])
        assert box.box("org-a", ("calculate_math", "fake")).names == ("calculate_math",)


@pytest.mark.parametrize(("how", "tools"), [("endless", 50), ("circle", 1)])
async def test_a_list_without_an_end_is_cut(how: str, tools: int) -> None:
    async with running(hostile(how)) as source:
        assert len(source.tools("org-a")) == tools


async def test_results_are_bounded_checked_and_fenced() -> None:
    told = hostile("results", isolation="org")
    async with running(told) as source:
        box = Toolboxes.of([source]).box("org-a", ("fake",))
        runner = CallRunner(box, Bounds(max_result_bytes=1000), float("inf"))
        calls = [Call(name, f"fake_{name}", "{}") for name in
                 ("huge", "wide", "lies", "trap", "broken", "other", "chatter")]  # fmt: skip
        steps = [step async for step in steps_of(runner, calls)]
    ends = {step.call_id: step for step in steps if isinstance(step, ToolFinished)}
    assert json.loads(ends["huge"].result)["truncated"] is True
    assert all(len(end.result.encode()) <= 1000 for end in ends.values())
    assert all(end.content == () for end in ends.values())
    assert "announced" in ends["lies"].result
    assert "announced" in ends["broken"].result
    assert "announced" in ends["trap"].result
    assert "not this tenant's" in ends["other"].result
    assert ends["chatter"].outcome == "ok"
    told_of = [step for step in steps if isinstance(step, ToolProgress)]
    assert 1 <= len(told_of) < 200
    assert all(len(step.message or "") <= 200 for step in told_of)
