"""One answer of the engine, put together from its chunks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.chat_engine import Json, answer, call

from penstock.chat.accumulate import Reply, add_usage, join_logprobs, join_messages, read_chunk
from penstock.chat.events import Usage
from penstock.ground.errors import EngineDied, EngineRefused


def reply_of(chunks: list[Json]) -> Reply:
    reply = Reply()
    for chunk in chunks:
        reply.add(read_chunk(json.dumps(chunk).encode()))
    return reply


def delta(**fields: object) -> Json:
    return {"choices": [{"index": 0, "delta": fields}]}


def piece(**fields: object) -> Json:
    return delta(tool_calls=[fields])


@given(st.lists(st.text()), st.lists(st.text(min_size=1), max_size=4), st.integers(1, 9))
def test_text_calls_end_and_usage_are_put_together(
    texts: list[str], arguments: list[str], pieces: int
) -> None:
    calls = [call(f"f{i}", text, f"id{i}", i) for i, text in enumerate(arguments)]
    reply = reply_of(answer(texts, calls, usage=(7, 3), argument_pieces=pieces))
    assert reply.text("content") == "".join(texts)
    assert [(c.id, c.name, c.arguments) for c in reply.calls] == [
        (f"id{i}", f"f{i}", text) for i, text in enumerate(arguments)
    ]
    assert reply.finish_reason == ("tool_calls" if calls else "stop")
    assert reply.usage == Usage(7, 3, 10, {"cached_tokens": 3})


def test_interleaved_pieces_find_their_calls() -> None:
    reply = reply_of(
        [
            piece(index=1, id="b", function={"name": "g", "arguments": "{"}),
            piece(index=0, id="a", function={"name": "f", "arguments": ""}),
            piece(index=1, function={"arguments": "}"}),
            piece(index=0, id=None, function={"name": None, "arguments": "[]"}),
            piece(index=0, function=None),
        ]
    )
    assert [(c.id, c.name, c.arguments) for c in reply.calls] == [
        ("b", "g", "{}"),
        ("a", "f", "[]"),
    ]


def test_servers_that_number_every_call_zero_or_none() -> None:
    for index in ({"index": 0}, {}):
        reply = reply_of(
            [
                piece(id="a", function={"name": "f", "arguments": "{}"}, **index),
                piece(id="b", function={"name": "f", "arguments": "{"}, **index),
                piece(function={"arguments": "}"}, **index),
            ]
        )
        assert [(c.id, c.arguments) for c in reply.calls] == [("a", "{}"), ("b", "{}")]


def test_a_call_without_id_gets_one() -> None:
    reply = reply_of([piece(index=0, function={"name": "f", "arguments": "{}"})])
    assert len(reply.calls[0].id) == 9
    assert reply.calls[0].id.isalnum()


def test_other_texts_and_logprobs_are_kept() -> None:
    one = reply_of([delta(reasoning_content="hm"), delta(content="a"), delta(refusal="no")])
    other = reply_of([delta(content="b")])
    message = join_messages([one, other])
    assert (message.content, message.refusal) == ("ab", "no")
    assert (message.reasoning, message.reasoning_content) == (None, "hm")
    scored = [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{"t": 1}]}}]
    reply = reply_of([{"choices": scored}, {"choices": scored}])
    joined = join_logprobs([one, reply])
    assert joined is not None
    assert [bytes(entry) for entry in joined["content"]] == [b'{"t": 1}'] * 2
    assert join_logprobs([one]) is None


def test_usage_is_the_last_one_told() -> None:
    first = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
    last: Json = {
        "choices": [],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 4,
            "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": None},
            "completion_tokens_details": None,
        },
    }
    assert reply_of([first]).usage == Usage(5, 1, 6)
    assert reply_of([first, last, delta(content="x")]).usage == Usage(5, 4, 9)


def test_usages_add_up_counter_by_counter() -> None:
    one = Usage(1, 2, 3, {"cached_tokens": 1}, None)
    other = Usage(10, 20, 30, {"cached_tokens": 4, "audio_tokens": 2}, {"reasoning_tokens": 7})
    assert add_usage(one, other) == Usage(
        11, 22, 33, {"cached_tokens": 5, "audio_tokens": 2}, {"reasoning_tokens": 7}
    )


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"choices": 3}', b'{"id": "\xff"}', b""])
def test_what_is_no_chunk_means_the_engine_is_lost(data: bytes) -> None:
    with pytest.raises(EngineDied, match="not a chat chunk"):
        read_chunk(data)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        ({"message": "too long", "code": 400}, 400, "too long"),
        ({"message": "oh", "code": "invalid"}, 500, "oh"),
        ("just text", 500, "broke off"),
    ],
)
def test_an_error_event_is_the_engines_refusal(error: object, status: int, text: str) -> None:
    data = json.dumps({"error": error}).encode()
    with pytest.raises(EngineRefused, match=text) as caught:
        read_chunk(data)
    assert (caught.value.status, caught.value.body) == (status, data)
