"""Conversations are rendered as transformers renders them."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.engines.embedded.conftest import Reference

from penstock.engines.embedded.template import ChatTemplate
from penstock.engines.embedded.tokenizer import Tokenizer
from penstock.ground.errors import RequestError, UserError

TOOL = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Wetter für <eine> Stadt & mehr",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    },
}

CALL = {
    "id": "call-1",
    "type": "function",
    "function": {"name": "get_current_weather", "arguments": '{"location": "Köln"}'},
}

CONVERSATIONS: list[tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = [
    ([{"role": "user", "content": "Grüße & <b>alles</b>"}], None),
    (
        [
            {"role": "system", "content": "Be brief.\n"},
            {"role": "nobody", "content": "left out by `continue`"},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call-1", "content": '{"temperature": 7}'},
        ],
        [TOOL],
    ),
]


def test_the_text_equals_that_of_transformers(
    folder: Path, tokenizer: Tokenizer, reference: Reference, tmp_path: Path
) -> None:
    jobs = []
    for n, (messages, tools) in enumerate(CONVERSATIONS):
        # OpenAI's clients send arguments as text; transformers wants them parsed.
        parsed = [
            {**m, "tool_calls": [_parsed(c) for c in m["tool_calls"]]} if "tool_calls" in m else m
            for m in messages
        ]
        jobs.append(
            {"model": str(folder), "messages": parsed, "tools": tools, "text": f"{tmp_path}/{n}"}
        )
    reference(jobs)
    for n, (messages, tools) in enumerate(CONVERSATIONS):
        text = tokenizer.template(with_tools=bool(tools)).render(messages, tools)
        assert text == Path(f"{tmp_path}/{n}").read_text("utf-8")


def _parsed(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}


def render(source: str, messages: list[dict[str, Any]], **options: Any) -> str:
    return ChatTemplate(source, {"bos_token": "<s>"}).render(messages, **options)


def test_a_template_may_use_what_transformers_gives_it() -> None:
    hello = [{"role": "user", "content": "hello"}]
    assert render("{{ bos_token }}{{ messages[0].content }}", hello) == "<s>hello"
    before = datetime.now().astimezone().year
    told = int(render("{{ strftime_now('%Y') }}", hello))
    assert before <= told <= datetime.now().astimezone().year
    assert render("{{ messages | tojson(indent=1) }}", hello) == json.dumps(hello, indent=1)
    assert render("{{ enable_thinking }}", hello, variables={"enable_thinking": False}) == "False"
    assert render("a{% generation %}b{% endgeneration %}c", hello) == "abc"
    with pytest.raises(RequestError, match="only one user"):
        render("{{ raise_exception('only one user') }}", hello)


def test_names_of_the_conversation_cannot_be_replaced() -> None:
    with pytest.raises(RequestError, match="`messages` cannot be given here"):
        render("{{ messages }}", [], variables={"messages": "other"})


def test_a_template_stays_in_its_sandbox() -> None:
    for source in (
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__subclasses__() }}",
    ):
        with pytest.raises(RequestError, match="rejects the conversation"):
            render(source, [{"role": "user", "content": "x"}])


def test_a_template_that_is_not_jinja_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be compiled"):
        render("{% if %}", [])


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": None}, ""),
        ({}, ""),
    ],
)
def test_content_becomes_one_text(message: dict[str, Any], text: str) -> None:
    assert render("{{ messages[0].content }}", [{"role": "user", **message}]) == text


@pytest.mark.parametrize(
    "message",
    [
        {"content": 7},
        {"content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"content": ["text"]},
        {"content": "", "tool_calls": ["f"]},
        {"content": "", "tool_calls": [{"type": "custom", "function": {}}]},
    ],
)
def test_content_of_another_kind_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        render("{{ messages }}", [{"role": "user", **message}])


@pytest.mark.parametrize(
    ("arguments", "rendered"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ({"a": 1}, '{"a": 1}'),
        ("", "{}"),
        (None, "{}"),
        ("{broken", "{}"),
    ],
)
def test_arguments_of_calls_become_objects(arguments: Any, rendered: str) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    source = "{{ messages[0].tool_calls[0].function.arguments | tojson }}"
    assert render(source, [{"role": "assistant", "tool_calls": [call]}]) == rendered


def test_tools_are_completed_and_ordered() -> None:
    tool = {"function": {"parameters": {}, "name": "f"}, "type": "function"}
    wanted = (
        '{"type": "function", "function": {"name": "f", "description": null, "parameters": {}}}'
    )
    assert render("{{ tools[0] | tojson }}", [], tools=[tool]) == wanted
    with pytest.raises(RequestError, match="function with a name"):
        render("{{ tools }}", [], tools=[{"type": "function"}])
