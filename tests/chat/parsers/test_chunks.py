"""A whole turn over an engine that leaves calls in its text."""

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chat.test_turn import adder, client_chunks, events_of, finished_of, request_body
from tests.fakes.chat_engine import Json, ScriptedEngine, answer, call, sse
from tests.fakes.written_calls import CALLS, NAMES, Written, write

from penstock.chat.accumulate import read_chunk
from penstock.chat.continuation import Continuations, MemoryLedger
from penstock.chat.events import Chunk, Event, Usage
from penstock.chat.parsers.chunks import ParsedChunks
from penstock.chat.parsers.form import FORMS
from penstock.chat.request import Traits, read_request
from penstock.chat.toolbox import Toolbox
from penstock.chat.turn import Turn
from penstock.ground.clock import FakeClock

every_form = pytest.mark.parametrize("form", FORMS)


def run(form: str, *scripts: list[bytes], mine: tuple[str, ...] = ()) -> tuple[list[Event], Any]:
    """A turn with the tool `add`, and with the client's own tools called `mine`."""
    tools = [{"type": "function", "function": {"name": name}} for name in mine]
    body = request_body(tools=tools, stream_options={"include_usage": True})
    engine = ScriptedEngine(*scripts)
    box = Toolbox([adder()] if not mine else [])
    wall = FakeClock()
    continuations = Continuations(b"k" * 32, "org-a", "key-1", MemoryLedger(wall), wall)
    request = read_request(body, Traits(form))
    turn = Turn(request, engine, box, None, FakeClock(), continuations)
    return asyncio.run(events_of(turn)), engine


def pieces_of(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@every_form
@given(
    CALLS, st.booleans(), st.integers(1, 40), st.lists(st.integers(0, 9000), max_size=20),
    st.sampled_from([b"\n", b"\r\n"]),
)  # fmt: skip
def test_any_cut_of_the_bytes_hands_back_what_the_plain_answer_has(
    form: str, calls: Written, spaced: bool, size: int, cuts: list[int], end: bytes
) -> None:
    text = "é: \n" + write(form, calls, spaced=spaced)
    data = sse(answer(pieces_of(text, size), finish="stop")).replace(b"\n", end)
    edges = sorted({0, len(data), *(place % len(data) for place in cuts)})
    events, _ = run(form, [data[a:b] for a, b in pairwise(edges)], mine=NAMES)
    finished = finished_of(events)
    assert finished.finish_reason == "tool_calls"
    assert finished.message.content == "é: \n"
    handed = finished.message.tool_calls or ()
    assert [(c.function.name, json.loads(c.function.arguments)) for c in handed] == calls
    assert len({c.id for c in handed}) == len(calls)
    assert finished.usage == Usage(10, 5, 15, {"cached_tokens": 5})
    choices = [chunk["choices"][0] for chunk in client_chunks(events) if chunk["choices"]]
    assert "".join(c["delta"].get("content", "") for c in choices) == "é: \n"
    told = [c for choice in choices for c in choice["delta"].get("tool_calls", ())]
    assert [c["index"] for c in told] == list(range(len(calls)))
    assert [c["id"] for c in told] == [c.id for c in handed]
    assert choices[-1]["finish_reason"] == "tool_calls"


@every_form
def test_our_tools_are_run_and_the_next_round_has_the_calls(form: str) -> None:
    calls: Written = [("add", {"n": 1}), ("add", {"n": 2})]
    first = answer(pieces_of("So:\n" + write(form, calls), 3), finish="stop")
    events, engine = run(form, [sse(first)], [sse(answer(["It is ", "2 and 3."]))])
    assert finished_of(events).message.content == "So:\nIt is 2 and 3."
    asked, *told = engine.bodies[1]["messages"][1:]
    assert asked["content"] == "So:\n"
    assert [c["function"]["name"] for c in asked["tool_calls"]] == ["add", "add"]
    assert [t["content"] for t in told] == ['{"sum": 2}', '{"sum": 3}']
    assert [t["tool_call_id"] for t in told] == [c["id"] for c in asked["tool_calls"]]


@every_form
@given(st.lists(st.text(max_size=9), max_size=9), st.sampled_from([None, 1]))
def test_text_without_calls_passes_untouched(
    form: str, texts: list[str], scored: int | None
) -> None:
    chunks = answer(texts)
    if scored:
        for chunk in chunks[1:-2]:
            chunk["choices"][0]["logprobs"] = {"content": [{"token": "t"}]}
    events, _ = run(form, [sse(chunks)])
    finished = finished_of(events)
    assert finished.message.content == "".join(texts)
    assert finished.finish_reason == "stop"
    scores = (finished.logprobs or {}).get("content", [])
    assert len(scores) == (len(texts) if scored else 0)


def through(form: str, chunks: list[Json]) -> list[Json]:
    parsed = ParsedChunks(form, NAMES)
    data = (json.dumps(chunk).encode() for chunk in chunks)
    return [json.loads(d) for one in data for d, _ in parsed.through(one, read_chunk(one))]


def test_an_engine_that_parses_calls_itself_is_left_alone() -> None:
    chunks = answer(["<tool"], [call("f", "{}")])
    chunks.insert(-2, answer(["<tool_call>"])[1])
    out = through("hermes", chunks)
    assert (
        "".join(c["choices"][0]["delta"].get("content", "") for c in out if c["choices"])
        == "<tool<tool_call>"
    )
    theirs = [chunk for chunk in chunks if "tool_calls" in str(chunk)]
    assert [chunk for chunk in out if "tool_calls" in str(chunk)] == theirs


def test_log_probabilities_of_calls_are_dropped_and_those_of_text_are_not() -> None:
    text = write("hermes", [("f", {})]) + "ok <tool"
    chunks = answer(pieces_of(text, 3), finish="stop")
    for number, chunk in enumerate(chunks[1:-2]):
        chunk["choices"][0]["logprobs"] = {"content": [{"token": str(number)}]}
    chunks[-2]["choices"][0]["logprobs"] = None
    out = through("hermes", chunks)
    choices = [c["choices"][0] for c in out if c["choices"]]
    assert "".join(c["delta"].get("content", "") for c in choices) == "ok <tool"
    scores = [s for c in choices for s in (c.get("logprobs") or {}).get("content", ())]
    assert scores == [{"token": str(n)} for n in range(len(chunks) - 3)][-len(scores) :]
    assert 2 <= len(scores) <= 4


def test_calls_of_an_answer_cut_by_its_length_are_not_run() -> None:
    text = write("hermes", [("add", {"n": 1})])
    events, _ = run("hermes", [sse(answer([text], finish="length"))])
    assert finished_of(events).finish_reason == "length"
    assert finished_of(events).tool_rounds == 0


def test_at_the_last_round_calls_in_text_are_dropped_not_shown() -> None:
    text = write("hermes", [("add", {"n": 1})])
    rounds = [[sse(answer([text], finish="stop"))] for _ in range(6)]
    events, _ = run("hermes", *rounds)
    finished = finished_of(events)
    assert (finished.bound, finished.message.content) == ("rounds", "")
    assert b"tool_call" not in b"".join(e.data for e in events if isinstance(e, Chunk))
