"""The request of a turn: read, refused, and made into the engine's."""

import json
from typing import Any

import pytest
from msgspec import Raw

from penstock.chat.request import read_request
from penstock.ground.errors import RequestError

HELLO = [{"role": "user", "content": "hi ✓"}]


def body(**fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": HELLO} | fields, ensure_ascii=False).encode()


def asked(request: bytes, *, tools: bool = True, first: bool = True) -> dict[str, Any]:
    offered = Raw(b'[{"type": "function"}]') if tools else None
    added = [Raw(b'{"role": "tool"}')] if not first else []
    text = read_request(request).engine_body(added, offered, first=first)
    answer: dict[str, Any] = json.loads(text)
    return answer


def test_the_engine_is_asked_for_a_stream_with_usage_and_keeps_the_rest() -> None:
    request = asked(body(temperature=0.5, n=1, stream=False, seed=7, stop=["x"]))
    assert request == {
        "model": "m",
        "messages": HELLO,
        "temperature": 0.5,
        "seed": 7,
        "stop": ["x"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [{"type": "function"}],
    }


def test_what_the_client_wants_is_kept() -> None:
    assert not read_request(body(stream_options={"include_usage": False})).wants_usage
    assert not read_request(body(stream_options=None, n=None, tools=None)).wants_usage
    assert read_request(body(stream_options={"include_usage": True})).wants_usage
    assert read_request(body(tool_choice="auto")).tools_allowed
    assert not read_request(body(tool_choice="none")).tools_allowed


def test_a_forced_call_is_forced_once() -> None:
    request = body(tool_choice="required", parallel_tool_calls=False)
    assert asked(request)["tool_choice"] == "required"
    later = asked(request, first=False)
    assert "tool_choice" not in later
    assert later["parallel_tool_calls"] is False
    assert later["messages"] == [*HELLO, {"role": "tool"}]


def test_without_tools_nothing_speaks_of_tools() -> None:
    last = asked(body(tool_choice="auto", parallel_tool_calls=True), tools=False, first=False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & last.keys()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        (
            {"stream_options": {"continuous_usage_stats": True}},
            "stream_options.continuous_usage_stats",
        ),
        ({"messages": []}, "messages"),
    ],
)
def test_what_does_not_go_with_tools_is_refused_by_name(
    fields: dict[str, object], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        read_request(body(**fields))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{", b'{"messages": 3}', b'{"messages": [1], "n": "two"}', b'"\xff"']
)
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(RequestError, match="no chat request"):
        read_request(text)
