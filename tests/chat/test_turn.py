"""A whole turn over a scripted engine: rounds, bounds, streams, and leaving at any point."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.chat_engine import Json, ScriptedEngine, answer, call, dies, sse
from tests.fakes.chat_tools import ONE_NUMBER, ActTool, Hanging, returns

from penstock.chat.calls import Bounds
from penstock.chat.events import Chunk, Event, Finished, Metadata, ToolFinished, ToolStarted, Usage
from penstock.chat.ports import Tool
from penstock.chat.request import read_request
from penstock.chat.sse import Splitter
from penstock.chat.toolbox import Toolbox
from penstock.chat.turn import Turn
from penstock.ground.clock import FakeClock
from penstock.ground.errors import EngineDied, EngineError, EngineRefused, EngineUnavailable

ADD = {"name": "add", "arguments": '{"n": 1}'}


def request_body(**fields: object) -> bytes:
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    return json.dumps(asked | fields).encode()


def turn_of(
    engine: ScriptedEngine,
    *tools: Tool,
    bounds: Bounds | None = None,
    clock: FakeClock | None = None,
    **fields: object,
) -> Turn:
    fields.setdefault("stream_options", {"include_usage": True})
    request = read_request(request_body(**fields))
    return Turn(request, engine, Toolbox(tools), bounds, clock or FakeClock())


async def events_of(turn: Turn, seen: list[Event] | None = None) -> list[Event]:
    """All events of a turn; `seen` keeps them if it fails."""
    seen = [] if seen is None else seen
    await turn.run(seen.append)
    return seen


def client_bytes(events: Sequence[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Chunk))


def client_chunks(events: Sequence[Event]) -> list[Json]:
    return [json.loads(data) for data in Splitter().feed(client_bytes(events))]


def finished_of(events: Sequence[Event]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def adder() -> ActTool:
    async def add(arguments: Mapping[str, object]) -> object:
        return {"sum": int(str(arguments["n"])) + 1}

    return ActTool("add", add, parameters=ONE_NUMBER)


def two_rounds() -> tuple[list[Json], list[Json]]:
    first = answer(
        ["Let me ", "see. "], [call("add", '{"n": 1}'), call("add", '{"n": 2}', "call_1", 1)]
    )
    return first, answer(["It is ", "2 and 3 ✓"], usage=(31, 7), answer_id="chatcmpl-2")


async def test_a_turn_with_two_calls_is_one_answer_to_the_client() -> None:
    first, second = two_rounds()
    engine = ScriptedEngine([sse(first)], [sse(second)])
    turn = turn_of(engine, adder())
    events = await events_of(turn)
    finished = finished_of(events)

    assert finished.message.content == "Let me see. It is 2 and 3 ✓"
    assert finished.usage == Usage(41, 12, 53, {"cached_tokens": 20})
    assert (finished.finish_reason, finished.tool_rounds, finished.bound) == ("stop", 1, None)
    assert turn.usage == finished.usage
    assert finished.usage_complete

    steps = [event for event in events if isinstance(event, ToolStarted | ToolFinished)]
    assert [type(step) for step in steps] == [ToolStarted] * 2 + [ToolFinished] * 2

    chunks = client_chunks(events)
    assert {(c["id"], c["created"], c["model"]) for c in chunks} == {("chatcmpl-1", 7, "m")}
    deltas = [c["choices"][0]["delta"] for c in chunks[:-1]]
    assert "".join(d.get("content", "") for d in deltas) == finished.message.content
    assert [d["role"] for d in deltas if "role" in d] == ["assistant"]
    assert not any("tool_calls" in d for d in deltas)
    ends = [c["choices"][0]["finish_reason"] for c in chunks[:-1]]
    assert ends == [None] * (len(ends) - 1) + ["stop"]
    assert [c.get("metadata") for c in chunks if "metadata" in c] == [{"tool_rounds": 1}]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == json.loads(msgspec.json.encode(finished.usage))
    assert not any("usage" in c for c in chunks[:-1])


async def test_the_engine_sees_the_calls_and_their_results() -> None:
    first, second = two_rounds()
    engine = ScriptedEngine([sse(first)], [sse(second)])
    await events_of(turn_of(engine, adder(), temperature=0))
    asked, again = engine.bodies
    assert asked["messages"] == [{"role": "user", "content": "hi"}]
    assert again["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Let me see. ",
            "tool_calls": [
                {"id": "call_0", "type": "function", "function": ADD},
                {"id": "call_1", "type": "function", "function": ADD | {"arguments": '{"n": 2}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": '{"sum": 2}'},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"sum": 3}'},
    ]
    for body in engine.bodies:
        assert body["stream"] is True
        assert body["stream_options"] == {"include_usage": True}
        assert body["temperature"] == 0
        assert [tool["function"]["name"] for tool in body["tools"]] == ["add"]


async def test_an_answer_without_calls_passes_byte_by_byte() -> None:
    chunks = answer(["a", "✓"])
    events = await events_of(turn_of(ScriptedEngine([sse(chunks)]), adder(), stream_options=None))
    assert client_bytes(events)[:-2].split(b"\n\n")[:3] == sse(chunks[:3], done=False)[:-2].split(
        b"\n\n"
    )
    assert client_chunks(events)[-1]["choices"][0]["finish_reason"] == "stop"
    assert client_chunks(events)[-1]["metadata"] == {"tool_rounds": 0}
    assert not any("usage" in c for c in client_chunks(events))


@given(
    st.lists(st.integers(0, 4000), max_size=40),
    st.lists(st.integers(0, 4000), max_size=40),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_any_cut_of_the_engines_bytes_gives_the_same_turn(
    first_cuts: list[int], second_cuts: list[int], end: bytes
) -> None:
    whole = [sse(chunks).replace(b"\n", end) for chunks in two_rounds()]

    def run(*scripts: list[bytes]) -> tuple[bytes, Finished, list[Json]]:
        engine = ScriptedEngine(*scripts)
        events = asyncio.run(events_of(turn_of(engine, adder())))
        return client_bytes(events), finished_of(events), engine.bodies

    cuts = [
        [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True)]
        for data, places in zip(whole, (first_cuts, second_cuts), strict=True)
        if (edges := sorted(place % len(data) for place in places)) is not None
    ]
    assert run(*cuts) == run([whole[0]], [whole[1]])


async def test_the_plain_answer_says_what_the_stream_says() -> None:
    scored = {"content": [{"token": "a", "logprob": -0.10000000149011612}], "refusal": None}
    first = answer(["thinking "], [call("add", '{"n": 1}')])
    second = answer(["a"], answer_id="other")
    for chunk in (first[2], second[1]):  # those of a call's tokens are the gateway's business
        chunk["choices"][0]["logprobs"] = scored
    second[1]["choices"][0]["delta"]["reasoning_content"] = "hm"
    events = await events_of(turn_of(ScriptedEngine([sse(first)], [sse(second)]), adder()))
    finished = finished_of(events)
    chunks = client_chunks(events)
    choices = [c["choices"][0] for c in chunks if c["choices"]]

    def joined(name: str) -> str:
        return "".join(c["delta"].get(name) or "" for c in choices)

    assert finished.message.content == joined("content")
    assert finished.message.reasoning_content == joined("reasoning_content") == "hm"
    scores = [e for c in choices for e in (c.get("logprobs") or {}).get("content", ())]
    assert finished.logprobs is not None
    assert [json.loads(bytes(e)) for e in finished.logprobs["content"]] == scores
    assert b"-0.10000000149011612" in client_bytes(events)


async def test_an_engine_that_says_more_than_it_should_still_gives_one_clean_stream() -> None:
    """Roles on every chunk, usage within, text beside the end: as some servers do."""
    first = answer(["x"], [call("add", '{"n": 1}')], usage=None)
    second = answer(["y", "z"], usage=None, answer_id="other")
    for chunk in [*first, *second]:
        chunk["choices"][0]["delta"]["role"] = "assistant"
        chunk["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    first[-1]["choices"][0]["delta"]["content"] = "!"
    second[-1]["choices"][0]["delta"]["content"] = "?"
    second.insert(1, {"id": "other", "choices": []})
    events = await events_of(turn_of(ScriptedEngine([sse(first)], [sse(second)]), adder()))
    chunks = client_chunks(events)
    deltas = [c["choices"][0]["delta"] for c in chunks[:-1]]
    assert "".join(d.get("content") or "" for d in deltas) == "x!yz?"
    assert finished_of(events).message.content == "x!yz?"
    assert [d["role"] for d in deltas if "role" in d] == ["assistant"]
    assert [c["usage"] for c in chunks if "usage" in c] == [
        {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    ]


@pytest.mark.parametrize(
    "order",
    [
        "id created model extra choices",
        "choices id created model extra",
        "created choices id model extra",
    ],
)
@pytest.mark.parametrize("spaced", [False, True])
async def test_later_rounds_take_the_first_ones_name_however_it_is_written(
    order: str, spaced: bool
) -> None:
    names = {"id": 'an "id"', "created": 99, "model": "other", "extra": "f"}
    first, second = answer([], [call("add", '{"n": 1}')]), answer(['a"choices"', "b", "c"])
    second = [{key: (chunk | names)[key] for key in order.split()} for chunk in second[:-1]]
    text = sse(second)
    if spaced:
        text = text.replace(b'{"', b'{ "').replace(b", ", b" ,  ")
    events = await events_of(turn_of(ScriptedEngine([sse(first)], [text]), adder()))
    chunks = client_chunks(events)
    assert {(c["id"], c["created"], c["model"]) for c in chunks} == {("chatcmpl-1", 7, "m")}
    texts = [c["choices"][0]["delta"].get("content", "") for c in chunks]
    assert "".join(texts) == 'a"choices"bc' == finished_of(events).message.content
    assert {c["extra"] for c in chunks[1:]} == {"f"}


async def test_a_stream_that_begins_with_a_call_still_tells_its_role() -> None:
    first = answer([], [call("add", '{"n": 1}')])[1:]
    events = await events_of(
        turn_of(ScriptedEngine([sse(first)], [sse(answer(["y"])[1:])]), adder())
    )
    deltas = [c["choices"][0]["delta"] for c in client_chunks(events)[:-1]]
    assert deltas == [{"role": "assistant"}, {"content": "y"}, {}]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_calls_of_an_answer_that_was_cut_short_are_not_run(reason: str) -> None:
    tool = adder()
    engine = ScriptedEngine([sse(answer(["x"], [call("add", '{"n": 1')], finish=reason))])
    finished = finished_of(await events_of(turn_of(engine, tool)))
    assert (finished.finish_reason, finished.message.content) == (reason, "x")
    assert tool.calls == []


async def test_an_engine_that_ends_calls_with_stop_is_understood() -> None:
    first = answer([], [call("add", '{"n": 1}')], finish="stop")
    engine = ScriptedEngine([sse(first, done=False)], [sse(answer(["2"]))])
    assert finished_of(await events_of(turn_of(engine, adder()))).message.content == "2"


async def test_arguments_that_are_no_object_are_repeated_as_an_empty_one() -> None:
    calls = [call("add", "{oops"), call("nothing", "", "call_1", 1)]
    engine = ScriptedEngine([sse(answer([], calls))], [sse(answer(["sorry"]))])
    events = await events_of(turn_of(engine, adder(), returns("nothing", 1)))
    asked, *told = engine.bodies[1]["messages"][1:]
    assert asked["content"] is None
    assert [c["function"]["arguments"] for c in asked["tool_calls"]] == ["{}", "{}"]
    assert "not a JSON object: JSON is malformed" in json.loads(told[0]["content"])["error"]
    assert told[1]["content"] == "1"
    assert [e.outcome for e in events if isinstance(e, ToolFinished)] == ["invalid", "ok"]


async def test_at_the_bound_of_rounds_the_model_is_asked_once_without_tools() -> None:
    calling = sse(answer(["."], [call("add", '{"n": 1}')]))
    engine = ScriptedEngine([calling], [calling], [sse(answer(["enough"]))])
    events = await events_of(turn_of(engine, adder(), bounds=Bounds(max_rounds=2)))
    finished = finished_of(events)
    assert ["tools" in body for body in engine.bodies] == [True, True, False]
    assert (finished.tool_rounds, finished.bound) == (2, "rounds")
    assert finished.finish_reason == "stop"
    assert finished.metadata == Metadata(2, "rounds")
    assert finished.usage == Usage(30, 15, 45, {"cached_tokens": 15})
    ends = [c["metadata"] for c in client_chunks(events) if "metadata" in c]
    assert ends == [{"tool_rounds": 2, "bound": "rounds"}]


async def test_calls_the_model_makes_without_tools_are_dropped() -> None:
    calling = sse(answer(["."], [call("add", '{"n": 1}')]))
    tool = adder()
    engine = ScriptedEngine([calling], [calling])
    events = await events_of(turn_of(engine, tool, bounds=Bounds(max_rounds=1)))
    assert finished_of(events).finish_reason == "stop"
    assert client_chunks(events)[-2]["choices"][0]["finish_reason"] == "stop"
    assert b"tool_calls" not in client_bytes(events)
    assert len(tool.calls) == 1


async def test_at_the_bound_of_time_the_model_is_asked_once_without_tools() -> None:
    clock = FakeClock()

    async def work(arguments: Mapping[str, object]) -> object:
        clock.advance(11)
        return 1

    engine = ScriptedEngine([sse(answer([], [call("work", "{}")]))], [sse(answer(["late"]))])
    finished = finished_of(
        await events_of(
            turn_of(engine, ActTool("work", work), bounds=Bounds(turn_timeout_s=10), clock=clock)
        )
    )
    assert "tools" not in engine.bodies[1]
    assert (finished.bound, finished.message.content) == ("time", "late")


async def test_tools_that_are_forbidden_or_not_there_are_not_offered() -> None:
    forbidden = ScriptedEngine([sse(answer(["a"]))])
    await events_of(turn_of(forbidden, adder(), tool_choice="none"))
    nothing = ScriptedEngine([sse(answer(["a"]))])
    await events_of(turn_of(nothing))
    for engine in (forbidden, nothing):
        assert not {"tools", "tool_choice"} & engine.bodies[0].keys()


async def test_usage_that_is_not_told_is_not_made_up() -> None:
    first = answer([], [call("add", '{"n": 1}')])
    engine = ScriptedEngine([sse(first)], [sse(answer(["a", "b"], usage=None))])
    turn = turn_of(engine, adder())
    events = await events_of(turn)
    assert not finished_of(events).usage_complete
    assert turn.usage == Usage(10, 5, 15, {"cached_tokens": 5})
    assert turn.unreported_deltas == 4
    assert not any("usage" in c for c in client_chunks(events))


ERRORS: list[tuple[list[bytes | Exception], type[EngineError]]] = [
    ([EngineUnavailable("nothing listens")], EngineUnavailable),
    ([EngineRefused("no", status=400, body=b"{}")], EngineRefused),
    ([sse(answer(["a"])[:2], done=False), dies()], EngineDied),
    ([sse(answer(["a"])[:2], done=False)], EngineDied),
    ([sse(answer(["a"])[:2])], EngineDied),
    ([b"data: {nonsense\n\n"], EngineDied),
    ([sse([*answer(["a"])[:2], {"error": {"message": "boom", "code": 500}}])], EngineRefused),
    ([sse(answer(["a"])[:2], done=False) + b'data: {"id'], EngineDied),
]


@pytest.mark.parametrize(("script", "kind"), ERRORS)
@pytest.mark.parametrize("round_", [1, 2])
async def test_errors_of_the_engine_come_through_typed(
    script: list[bytes | Exception], kind: type[EngineError], round_: int
) -> None:
    before = [[sse(answer([], [call("add", '{"n": 1}')]))]] if round_ == 2 else []
    engine = ScriptedEngine(*before, script)
    turn = turn_of(engine, adder())
    seen: list[Event] = []
    with pytest.raises(kind):
        await events_of(turn, seen)
    assert not any(isinstance(event, Finished) for event in seen)
    assert engine.open_streams == 0
    assert turn.tool_rounds == round_ - 1
    assert not turn.usage_complete
    assert turn.usage.total_tokens == 15 * (round_ - 1)
    if any(isinstance(piece, bytes) and b"assistant" in piece for piece in script):
        assert turn.unreported_deltas == 2
        assert b'"content": "a"' in client_bytes(seen) or b'"content":"a"' in client_bytes(seen)


async def test_the_connection_is_read_to_its_end_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("penstock.chat.streams.FINISH_S", 0.01)
    for rest, ends in (([b": bye\n\n"], 1), ([asyncio.Event()], 0), ([dies()], 0)):
        engine = ScriptedEngine([sse(answer(["a"])), *rest])
        assert finished_of(await events_of(turn_of(engine))).message.content == "a"
        assert (engine.open_streams, engine.read_to_end) == (0, ends)


async def leave_after(turn: Turn, most: int) -> list[Event]:
    """Cancel a turn as it tells so many events, or before its first step; what it told."""
    seen: list[Event] = []

    def tell(event: Event) -> None:
        seen.append(event)
        if len(seen) == most:
            consumer.cancel()

    consumer = asyncio.ensure_future(turn.run(tell, partial(asyncio.sleep, 0)))
    if not most:
        consumer.cancel()
    await asyncio.wait([consumer])
    assert consumer.cancelled()
    return seen


async def test_leaving_after_any_event_leaves_nothing_behind() -> None:
    first = sse(answer(["a", "b"], [call("add", '{"n": 1}'), call("hang", "{}", "h", 1)]))
    second = sse(answer(["c", "d"]))
    left_at = 0
    while True:
        tool = Hanging()
        engine = ScriptedEngine([first], [second])
        turn = turn_of(engine, adder(), tool, bounds=Bounds(call_timeout_s=0.002))
        before = asyncio.all_tasks()
        seen = await leave_after(turn, left_at)
        assert asyncio.all_tasks() == before
        assert (engine.open_streams, tool.running) == (0, 0)
        if left_at and len(seen) == left_at and isinstance(seen[-1], Finished):
            break
        left_at += 1
    assert left_at == 1 + 2 + 2 + 1 + 1 + 1


@pytest.mark.parametrize("where", ["before the first byte", "in the midst", "in a tool"])
async def test_a_cancelled_consumer_leaves_nothing_behind(where: str) -> None:
    never = asyncio.Event()
    tool = Hanging()
    scripts: dict[str, list[Any]] = {
        "before the first byte": [never],
        "in the midst": [sse(answer(["a"])[:2], done=False), never],
        "in a tool": [sse(answer([], [call("hang", "{}"), call("hang", "{}", "h", 1)]))],
    }
    engine = ScriptedEngine(scripts[where])
    turn = turn_of(engine, tool)
    before = asyncio.all_tasks()
    consumer = asyncio.create_task(events_of(turn))
    for _ in range(50):  # more than enough steps of the loop to get where it stops
        await asyncio.sleep(0)
    busy = 2 if where == "in a tool" else 0
    assert tool.running == busy
    assert engine.open_streams == (0 if busy else 1)
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert asyncio.all_tasks() == before
    assert (engine.open_streams, tool.running, tool.cancelled) == (0, 0, busy)
    assert not turn.usage_complete or where == "in a tool"


async def test_two_hundred_turns_at_once_do_not_wait_for_each_other() -> None:
    barrier = asyncio.Barrier(200)

    async def meet(arguments: Mapping[str, object]) -> object:
        await barrier.wait()
        return 1

    tool = ActTool("meet", meet)
    first, second = sse(answer([], [call("meet", "{}")])), sse(answer(["met"]))
    turns = [turn_of(ScriptedEngine([first], [second]), tool) for _ in range(200)]
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(events_of(turn) for turn in turns))
    assert {finished_of(events).message.content for events in answers} == {"met"}
