"""What a request may hold: all that is not supported is refused by its name."""

import json
from typing import Any

import pytest

from penstock.engines.embedded.protocol import (
    NEUTRAL,
    NOTHING,
    Chat,
    Completion,
    Refused,
    Unsupported,
    parse,
)

MESSAGES = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def chat(**fields: Any) -> Chat:
    return parse(json.dumps({"messages": MESSAGES, **fields}).encode(), Chat)


def test_nulls_mean_that_nothing_was_asked_for() -> None:
    names = "stream n max_tokens stop temperature seed logprobs tools tool_choice logit_bias user"
    request = chat(**dict.fromkeys(names.split()))
    assert request.limit is None
    assert request.alternatives is None
    assert request.stops == ()


@pytest.mark.parametrize("field", Unsupported.__struct_fields__)
def test_unsupported_fields_are_refused_by_name(field: str) -> None:
    with pytest.raises(Refused, match=field) as caught:
        chat(**{field: {"type": "json_object"}})
    assert caught.value.param == field
    for value in NEUTRAL.get(field, NOTHING):
        chat(**{field: value})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"colour": "red"}, "colour"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stop": [""]}, "stop"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"x": 1}}, "x"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}},
            "tool_choice",
        ),
    ],
)
def test_wrong_fields_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as caught:
        chat(**fields)
    assert caught.value.param == param
    assert caught.value.status == 400


def test_tools_may_be_offered_or_not() -> None:
    assert chat(tools=TOOLS).tools == TOOLS
    assert chat(tools=TOOLS, tool_choice="auto").tool_choice == "auto"
    assert chat(tool_choice="none").tools is None


def test_a_body_that_is_not_json_is_refused() -> None:
    with pytest.raises(Refused, match="not JSON"):
        parse(b"{", Chat)
    with pytest.raises(Refused, match="messages"):
        parse(b"{}", Chat)
    nested = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(Refused, match="recursion"):
        parse(b'{"messages": [{"role": "user", "content": %b}]}' % nested, Chat)


@pytest.mark.parametrize("prompt", ["a", ["a", "b"], [1, 2], [[1], [2, 3]]])
def test_prompts_have_four_forms(prompt: Any) -> None:
    assert parse(json.dumps({"prompt": prompt}).encode(), Completion).prompt == prompt


def test_limits_have_their_defaults() -> None:
    assert parse(b'{"prompt": "a"}', Completion).limit == 16
    assert chat(max_tokens=3, max_completion_tokens=5).limit == 5
    assert chat(logprobs=True).alternatives == 0
