"""One round of tool calls: parallel, bounded, and unable to break the turn."""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import aclosing, suppress

import pytest
from tests.fakes.chat_tools import ONE_NUMBER, ActTool, Hanging, fails, returns, steps_of

from penstock.chat.accumulate import Call
from penstock.chat.calls import Bounds, CallRunner, read_arguments
from penstock.chat.events import ToolFinished, ToolStarted
from penstock.chat.ports import Tool
from penstock.chat.toolbox import Toolbox
from penstock.ground.clock import FakeClock
from penstock.ground.errors import ToolError


def runner(*tools: Tool, bounds: Bounds | None = None, deadline_s: float = 60.0) -> CallRunner:
    return CallRunner(Toolbox(tools), bounds or Bounds(), deadline_s, FakeClock())


async def end_of(run: CallRunner, name: str, arguments: str = "{}") -> tuple[str, str]:
    """How one call ends, and what the model is told."""
    call = Call(id="c", name=name, arguments=arguments)
    async with aclosing(steps_of(run, [call])) as steps:
        events = [step async for step in steps]
    assert events[0] == ToolStarted(name, "c")
    (finished,) = events[1:]
    assert isinstance(finished, ToolFinished)
    assert finished.result == call.result
    return finished.outcome, call.result


async def test_a_call_ends_with_its_result() -> None:
    assert await end_of(runner(returns("f", {"r": "é"})), "f") == ("ok", '{"r": "é"}')


@pytest.mark.parametrize(
    ("name", "arguments", "outcome", "told"),
    [
        ("g", "{}", "unknown", "there is no tool g; there are: f"),
        ("f", "{", "invalid", "not a JSON object"),
        ("f", "[1]", "invalid", "not a JSON object"),
        ("f", '"n"', "invalid", "not a JSON object"),
        ("f", "", "invalid", "the arguments of f do not fit"),
        ("f", '{"n": "x"}', "invalid", "(at /n)"),
        ("f", '{"n": 3}', "ok", "1"),
    ],
)
async def test_wrong_calls_are_told_to_the_model(
    name: str, arguments: str, outcome: str, told: str
) -> None:
    tool = returns("f", 1, ONE_NUMBER)
    ended, text = await end_of(runner(tool), name, arguments)
    assert ended == outcome
    assert told in text
    assert len(tool.calls) == (outcome == "ok")


async def test_failures_are_told_without_what_is_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = fails("f", ToolError("no data for X"))
    assert await end_of(runner(told), "f") == ("error", '{"error": "no data for X"}')
    told = fails("f", ToolError("no data", why="it is closed"))
    assert await end_of(runner(told), "f") == ("error", '{"error": "no data: it is closed"}')
    with caplog.at_level(logging.ERROR):
        broken = fails("f", RuntimeError("password=hunter2"))
        assert await end_of(runner(broken), "f") == ("error", '{"error": "f failed"}')
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("result", [b"\x00\xff", object(), float("inf"), {1: {2}}])
async def test_what_is_not_json_is_a_failure(result: object) -> None:
    assert (await end_of(runner(returns("f", result)), "f"))[0] == "error"


async def test_wrong_arguments_may_be_mended_once() -> None:
    tool = returns("f", 1, ONE_NUMBER)
    run = runner(tool, returns("g", 1, ONE_NUMBER))
    outcome, text = await end_of(run, "f", '{"n": "x"}')
    assert outcome == "invalid"
    assert text == json.dumps(
        {
            "error": 'the arguments of f do not fit: "x" is not of type "integer" (at /n); '
            "call f once more with arguments that fit"
        }
    )
    assert (await end_of(run, "g", "{}"))[0] == "invalid"  # another tool, a mistake of its own
    outcome, text = await end_of(run, "f", '{"n": 1.5, ')
    assert outcome == "bad_arguments"
    assert "again, so this call has failed" in text
    assert (await end_of(run, "f", "{}"))[0] == "bad_arguments"
    assert (await end_of(run, "f", '{"n": 1}'))[0] == "ok"
    assert (await end_of(run, "f", "{}"))[0] == "invalid"
    assert len(tool.calls) == 1


async def test_two_wrong_calls_in_one_round_are_one_mistake_each() -> None:
    run = runner(returns("f", 1, ONE_NUMBER))
    calls = [Call(id=str(n), name="f", arguments="{}") for n in range(2)]
    for outcome in ("invalid", "bad_arguments"):
        ends = [step async for step in steps_of(run, calls) if isinstance(step, ToolFinished)]
        assert [end.outcome for end in ends] == [outcome] * 2


async def test_arguments_nested_deep_are_told_not_raised() -> None:
    recursive = {"properties": {"n": {"$ref": "#/$defs/l"}},
                 "$defs": {"l": {"type": "array", "items": {"$ref": "#/$defs/l"}}}}  # fmt: skip
    deep = '{"n": ' + "[" * 900 + "]" * 900 + "}"
    outcome, text = await end_of(runner(returns("f", 1, recursive)), "f", deep)
    assert outcome in ("ok", "invalid")
    assert len(text) < 2000


class Odd(BaseException):
    """What nobody expects."""


@pytest.mark.parametrize(
    "error",
    [Odd(), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError(),
     StopAsyncIteration(), TimeoutError("its own"), RecursionError()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_whatever_a_tool_raises_is_a_failure_of_that_call(error: BaseException) -> None:
    async def explode(arguments: Mapping[str, object]) -> object:
        raise error

    run = runner(ActTool("f", explode), returns("g", 1))
    calls = [Call(id="1", name="f"), Call(id="2", name="g")]
    ends = {s.name: s async for s in steps_of(run, calls) if isinstance(s, ToolFinished)}
    assert (ends["f"].outcome, ends["f"].result) == ("error", '{"error": "f failed"}')
    assert ends["g"].outcome == "ok"


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_tool_that_does_not_stop_is_left_behind(
    leaves: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.chat.calls._GRACE_S", 0.02)
    released = asyncio.Event()

    async def cling(arguments: Mapping[str, object]) -> object:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()
        return None

    before = asyncio.all_tasks()
    run = runner(ActTool("f", cling), returns("g", 1), bounds=Bounds(call_timeout_s=0.01))
    calls = [Call(id="1", name="f"), Call(id="2", name="g")]
    ends = []
    async with asyncio.timeout(60), aclosing(steps_of(run, calls)) as steps:
        async for step in steps:
            if isinstance(step, ToolFinished):
                ends.append((step.name, step.outcome))
                if leaves:
                    break
    assert ends == [("g", "ok")] if leaves else [("g", "ok"), ("f", "timeout")]
    assert leaves or "does not stop" in caplog.text
    assert leaves or json.loads(calls[0].result) == {"error": "f took too long"}
    left = asyncio.all_tasks() - before
    assert len(left) == 1
    released.set()
    await asyncio.wait(left)
    assert leaves or "too long" in calls[0].result


async def test_a_huge_result_is_cut_and_marked() -> None:
    outcome, text = await end_of(
        runner(returns("f", "é" * 1_000_000), bounds=Bounds(max_result_bytes=100)), "f"
    )
    assert outcome == "ok"
    assert len(text.encode()) <= 100
    told = json.loads(text)
    assert (told["truncated"], told["bytes"]) == (True, 2_000_000)
    assert told["content"] == "é" * len(told["content"])


async def test_a_slow_call_is_cancelled_in_time() -> None:
    tool = Hanging()
    outcome, text = await end_of(runner(tool, bounds=Bounds(call_timeout_s=0.01)), "hang")
    assert (outcome, text) == ("timeout", '{"error": "hang took longer than 0.01 s"}')
    assert (tool.running, tool.cancelled) == (0, 1)


async def test_the_turns_time_bounds_its_calls() -> None:
    tool = Hanging()
    patient = Bounds(call_timeout_s=3600)
    run = runner(tool, bounds=patient, deadline_s=0.01)
    assert (await end_of(run, "hang"))[0] == "timeout"
    late = returns("f", 1)
    outcome, text = await end_of(runner(late, deadline_s=0.0), "f")
    assert (outcome, text) == ("timeout", '{"error": "the time for tools is used up"}')
    assert late.calls == []


@pytest.mark.parametrize(
    ("errors", "idempotent", "outcome", "tries"),
    [
        ([ToolError("x", transient=True)], True, "ok", 2),
        ([ToolError("x", transient=True)], False, "error", 1),
        ([ToolError("x")], True, "error", 1),
        ([RuntimeError("x")], True, "error", 1),
        ([ToolError("x", transient=True)] * 2, True, "error", 2),
    ],
)
async def test_only_a_transient_failure_of_an_idempotent_tool_is_tried_again(
    errors: list[Exception], idempotent: bool, outcome: str, tries: int
) -> None:
    tool = fails("f", *errors, idempotent=idempotent)
    assert (await end_of(runner(tool), "f"))[0] == outcome
    assert len(tool.calls) == tries


async def test_calls_of_a_round_run_at_the_same_time_and_end_in_their_own_order() -> None:
    barrier = asyncio.Barrier(3)
    released = [asyncio.Event() for _ in range(3)]

    async def meet(arguments: Mapping[str, object]) -> object:
        place = int(str(arguments["n"]))
        await barrier.wait()
        if place < 2:
            await released[place + 1].wait()
        released[place].set()
        return place

    tool = ActTool("meet", meet, parameters=ONE_NUMBER)
    calls = [Call(id=str(n), name="meet", arguments=json.dumps({"n": n})) for n in range(3)]
    steps = steps_of(runner(tool), calls)
    ends = [step.call_id async for step in steps if isinstance(step, ToolFinished)]
    assert ends == ["2", "1", "0"]
    assert [call.result for call in calls] == ["0", "1", "2"]


async def test_more_calls_than_allowed_are_not_run() -> None:
    tool = returns("f", 1)
    calls = [Call(id=str(n), name="f", arguments="{}") for n in range(5)]
    run = runner(tool, bounds=Bounds(max_calls=3))
    outcomes = [s.outcome async for s in steps_of(run, calls) if isinstance(s, ToolFinished)]
    assert sorted(outcomes) == ["error", "error", "ok", "ok", "ok"]
    assert len(tool.calls) == 3
    assert "at most 3" in calls[4].result


async def test_seconds_are_measured_on_the_clock() -> None:
    clock = FakeClock()

    async def work(arguments: Mapping[str, object]) -> object:
        clock.advance(2.5)
        return None

    run = CallRunner(Toolbox([ActTool("f", work)]), Bounds(), 60.0, clock)
    steps = [step async for step in steps_of(run, [Call(id="c", name="f")])]
    assert isinstance(steps[1], ToolFinished)
    assert steps[1].seconds == 2.5


async def test_leaving_a_round_cancels_its_calls(caplog: pytest.LogCaptureFixture) -> None:
    tool = Hanging()
    before = asyncio.all_tasks()
    patient = Bounds(call_timeout_s=3600)
    run = runner(tool, returns("f", 1), bounds=patient, deadline_s=7200)
    calls = [Call(id="1", name="hang"), Call(id="2", name="f"), Call(id="3", name="hang")]
    steps = steps_of(run, calls)
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, ToolFinished):
                break
        assert tool.running == 2
    assert (tool.running, tool.cancelled) == (0, 2)
    assert asyncio.all_tasks() == before
    assert caplog.text == ""


def test_arguments() -> None:
    assert read_arguments("") == {}
    assert read_arguments(" \n") == {}
    assert read_arguments('{"a": [1]}') == {"a": [1]}
    for wrong in ("null", '{"a": 1} x', "[" * 100_000, "\ud800"):
        with pytest.raises(ValueError, match="not a JSON object"):
            read_arguments(wrong)
