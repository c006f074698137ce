"""Answers that must be what `response_format` says: judged, asked for once more, or an error."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chat.test_turn import (
    adder,
    client_bytes,
    client_chunks,
    events_of,
    finished_of,
    request_body,
)
from tests.fakes.chat_engine import Json, ScriptedEngine, answer, call, sse

from penstock.chat.events import Chunk, Event, Finished, ToolFinished, Usage
from penstock.chat.request import Traits, read_request
from penstock.chat.toolbox import Toolbox
from penstock.chat.turn import Turn
from penstock.chat.wanted import Wanted, refuse_format
from penstock.ground.clock import FakeClock
from penstock.ground.errors import AnswerUnfit, RequestError

PLACE: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT: Json = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE}}
GOOD = ['{"city": ', '"Köln"}']


def ask(
    *answers: Sequence[Json], tools: bool = False, **fields: object
) -> tuple[Turn, ScriptedEngine]:
    fields = {"response_format": FORMAT, "stream_options": {"include_usage": True}} | fields
    request = read_request(request_body(**fields), Traits(verifies=True))
    engine = ScriptedEngine(*([sse(each)] for each in answers))
    box = Toolbox([adder()] if tools else [])
    return Turn(request, engine, box, clock=FakeClock()), engine


async def test_an_answer_that_fits_is_given_as_it_came() -> None:
    turn, engine = ask(answer(GOOD))
    events = await events_of(turn)
    finished = finished_of(events)
    assert json.loads(finished.message.content or "") == {"city": "Köln"}
    assert (finished.id, finished.repaired) == ("chatcmpl-1", False)
    assert client_bytes(events).startswith(sse(answer(GOOD)[:3], done=False))
    assert not {"repaired", "metadata"} & client_chunks(events)[-2].keys()
    assert engine.bodies[0]["response_format"] == FORMAT


async def test_an_answer_that_does_not_fit_is_asked_for_once_more() -> None:
    wrong = answer(['{"people": "many"}'], usage=(7, 3), answer_id="wrong")
    turn, engine = ask(wrong, answer(GOOD))
    events = await events_of(turn)
    finished = finished_of(events)
    assert json.loads(finished.message.content or "") == {"city": "Köln"}
    assert finished.repaired
    assert finished.usage == Usage(17, 8, 25, {"cached_tokens": 8})
    chunks = client_chunks(events)
    texts = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
    assert "".join(texts) == "".join(GOOD)
    assert len({c["id"] for c in chunks}) == 1
    assert chunks[-2]["repaired"] is True
    shown, told = engine.bodies[1]["messages"][1:]
    assert shown == {"role": "assistant", "content": '{"people": "many"}'}
    assert told["role"] == "user"
    for words in ('"many" is not of type "integer" (at /people)', "city", '"required"'):
        assert words in told["content"]
    assert engine.bodies[1]["response_format"] == FORMAT


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["no JSON"], "it is not JSON"),
        ([""], "it is not JSON"),
        (['{"city": "a"} and more'], "it is not JSON"),
        (['```json\n{"city": "a"}\n```'], "it is not JSON"),
        (["{}"], '"city" is a required property'),
        (["[" * 5000], "it is not JSON"),
    ],
)
async def test_an_answer_that_never_fits_is_an_error_that_says_why_and_what_it_took(
    texts: list[str], why: str
) -> None:
    turn, engine = ask(answer(texts), answer(texts))
    seen: list[Event] = []
    with pytest.raises(AnswerUnfit) as caught:
        await events_of(turn, seen)
    assert seen == []
    assert why in caught.value.why
    assert caught.value.usage == {
        "prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30
    }  # fmt: skip
    assert turn.usage.total_tokens == 30
    assert (len(engine.bodies), engine.open_streams) == (2, 0)


@pytest.mark.parametrize("text", ["[1]", '"x"', "3", "null"])
async def test_a_json_object_is_an_object(text: str) -> None:
    turn, engine = ask(
        answer([text]), answer(['{"a": 1}']), response_format={"type": "json_object"}
    )
    assert finished_of(await events_of(turn)).message.content == '{"a": 1}'
    assert "JSON object" in engine.bodies[1]["messages"][-1]["content"]


async def test_tool_rounds_are_not_judged_and_their_text_is_not_the_answer() -> None:
    first = answer(["Let me add."], [call("add", '{"n": 1}')])
    turn, engine = ask(first, answer(["It is two."]), answer(GOOD), tools=True)
    events = await events_of(turn)
    finished = finished_of(events)
    assert [e.outcome for e in events if isinstance(e, ToolFinished)] == ["ok"]
    assert finished.message.content == "".join(GOOD)
    assert (finished.tool_rounds, finished.repaired) == (1, True)
    assert b"add." not in client_bytes(events)
    with_tools = ["tools" in body for body in engine.bodies]
    assert with_tools == [True, True, False]
    assert ["response_format" in body for body in engine.bodies] == [False, False, True]
    assert engine.bodies[2]["messages"][-2]["content"] == "It is two."


async def test_an_answer_after_tools_that_fits_at_once_needs_no_other() -> None:
    turn, engine = ask(answer([], [call("add", '{"n": 1}')]), answer(GOOD), tools=True)
    assert not finished_of(await events_of(turn)).repaired
    assert len(engine.bodies) == 2


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_cut_short_says_so_by_itself(reason: str) -> None:
    turn, _ = ask(answer(['{"ci'], finish=reason))
    finished = finished_of(await events_of(turn))
    assert (finished.message.content, finished.finish_reason) == ('{"ci', reason)


async def test_a_refusal_is_handed_on() -> None:
    chunks = answer([""])
    chunks[1]["choices"][0]["delta"] = {"refusal": "I will not."}
    turn, engine = ask(chunks)
    assert finished_of(await events_of(turn)).message.refusal == "I will not."
    assert len(engine.bodies) == 1


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "objekt"}, "/type"),
        ({"properties": {"a": {"items": {"type": 3}}}}, "/properties/a/items/type"),
        ({"properties": {"a": {"pattern": "("}}}, "/properties/a/pattern"),
        ({"$ref": "http://example.com/schema"}, ""),
        ({"$ref": "#/nowhere"}, ""),
        (None, ""),
        ([], ""),
    ],
)
def test_a_bad_schema_is_refused_with_its_place(schema: Any, pointer: str) -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(RequestError) as caught:
        ask(answer(GOOD), response_format=asked)
    assert caught.value.code == "invalid_schema"
    assert caught.value.param == "response_format.json_schema.schema"
    assert caught.value.why.endswith(f"(at {pointer})" if pointer else caught.value.why)


@pytest.mark.parametrize("asked", [None, {"type": "text"}, {"type": "structural_tag"}, 3, {}])
async def test_other_formats_are_the_engines_business(asked: object) -> None:
    turn, engine = ask(answer(["prose"]), response_format=asked)
    events = await events_of(turn)
    assert finished_of(events).message.content == "prose"
    assert engine.bodies[0]["response_format"] == asked
    assert isinstance(events[0], Chunk)


async def test_what_is_not_to_be_verified_is_not() -> None:
    body = request_body(response_format=FORMAT)
    engine = ScriptedEngine([sse(answer(["prose"]))])
    turn = Turn(read_request(body), engine, Toolbox(), clock=FakeClock())
    last = (await events_of(turn))[-1]
    assert isinstance(last, Finished)
    assert last.message.content == "prose"


@given(st.text() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["city", "people"]), inner),
).map(json.dumps))  # fmt: skip
def test_judging_never_fails_and_says_no_to_all_but_what_fits(text: str) -> None:
    problems = Wanted(PLACE).problems(text)
    assert len(problems) < 1200
    if not problems:
        document = json.loads(text)
        assert isinstance(document["city"], str)
        assert set(document) <= {"city", "people"}
    assert Wanted(PLACE).correction(text, problems)


@pytest.mark.parametrize(
    "asked", [b'{"type": "json_object"}', b'{"type": "yaml"}', b"{}", b'{"type": 3}', b"7", b'"x"']
)
def test_a_form_that_no_engine_knows_is_refused_by_name(asked: bytes) -> None:
    with pytest.raises(RequestError, match="not supported by tiny") as caught:
        refuse_format(msgspec.Raw(asked), "tiny")
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_parameter")


@pytest.mark.parametrize("asked", [b"null", b'{"type": "text"}'])
def test_what_asks_for_no_form_is_never_refused(asked: bytes) -> None:
    refuse_format(msgspec.Raw(asked), "tiny")
