"""The pieces of the recipe: answers, template, tokenizer."""

import json
from typing import Any

import pytest
from models.recipe.dialogues import Dialogue, Renderer, call_message
from models.recipe.inventor import plural
from models.recipe.tools import BUILT_IN, Call, answer, plain, write_arguments
from tokenizers import Tokenizer

HITS = [{"id": 3, "title": "Desk Lamp", "price": 39.5}, {"id": 9, "title": "Lamp", "price": 89.0}]
ANSWERS: list[tuple[str, dict[str, Any], str]] = [
    (
        "get_current_weather",
        {
            "location": "Paris",
            "temperature": 7,
            "unit": "celsius",
            "conditions": "cloudy",
            "source": "climate",
        },
        "In Paris it is typically 7 degrees celsius and cloudy at this time of year.",
    ),
    (
        "get_current_weather",
        {
            "location": "Paris",
            "temperature": 7.5,
            "unit": "celsius",
            "conditions": "rain",
            "source": "live",
        },
        "It is 7.5 degrees celsius and rain in Paris now.",
    ),
    ("calculate_math", {"expression": "12*7", "result": 84}, "12*7 is 84."),
    (
        "search_database",
        {"query": "lamp", "count": 2, "results": HITS},
        "I found 2 for lamp: Desk Lamp at 39.5, Lamp at 89.0.",
    ),
    ("search_database", {"query": "owl", "count": 0, "results": []}, "I found nothing for owl."),
    ("calculate_math", {"error": "division by zero"}, "I could not do that: division by zero."),
    ("get_order", {"state": "sent", "days": 3}, "Here is the result: state sent, days 3."),
]
CHAT = """<|system|>Be brief.<tools>
get_current_weather(location, unit?)
calculate_math(expression)
search_database(query)
</tools><|end|><|user|>Weather in Oslo and Rome?<|end|><|assistant|><tool_call>
{"name": "get_current_weather", "arguments": {"location": "Oslo"}}
</tool_call>
<tool_call>
{"name": "get_current_weather", "arguments": {"location": "Rome"}}
</tool_call><|end|><|tool|>{"error": "x"}<|end|><|assistant|>"""


@pytest.mark.parametrize(("name", "result", "sentence"), ANSWERS)
def test_each_result_has_its_sentence(name: str, result: dict[str, Any], sentence: str) -> None:
    assert answer(name, result) == sentence


def test_arguments_are_written_as_json_writes_them() -> None:
    arguments = {"location": "São Paulo", "days": 3, "note": 'a "b"'}
    written = write_arguments(Call("x", arguments))
    assert written == json.dumps(arguments, ensure_ascii=False)


def test_chat_template_is_compact_and_takes_tool_calls() -> None:
    calls = tuple(Call("get_current_weather", {"location": c}) for c in ("Oslo", "Rome"))
    messages = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Oslo and Rome?"},
        call_message(calls, plain),
        {"role": "tool", "content": '{"error": "x"}'},
    )
    assert Renderer().render(Dialogue(messages, BUILT_IN), prompt=True) == CHAT


def test_chat_template_takes_arguments_as_text_or_as_an_object() -> None:
    call = {"function": {"name": "f", "arguments": {"x": "a&<b>", "n": 3}}}
    as_text = {"function": {"name": "f", "arguments": json.dumps(call["function"]["arguments"])}}
    texts = [
        Renderer().render(Dialogue(({"role": "assistant", "content": "", "tool_calls": [c]},), ()))
        for c in (call, as_text)
    ]
    assert texts[0] == texts[1]
    assert '"arguments": {"x": "a&<b>", "n": 3}}' in texts[0]


def test_chat_template_without_system_or_tools_starts_with_the_user() -> None:
    text = Renderer().render(Dialogue(({"role": "user", "content": "hi"},), ()), prompt=True)
    assert text == "<|user|>hi<|end|><|assistant|>"


def test_chat_template_survives_a_tool_without_parameters() -> None:
    tool = {"type": "function", "function": {"name": "now", "description": None}}
    text = Renderer().render(Dialogue(({"role": "user", "content": "hi"},), (tool,)))
    assert "<tools>\nnow()\n</tools>" in text


@pytest.mark.parametrize("name", ["Reykjavik", "São Paulo", "Port-au-Prince", "12.5", "(3+4)*2"])
def test_a_name_is_the_same_tokens_in_prose_and_in_json(
    shipped_tokenizer: Tokenizer, name: str
) -> None:
    alone = shipped_tokenizer.encode(name).tokens
    for text in (f'{{"location": "{name}"}}\n', f"weather in {name}, please", f"{name}?"):
        tokens = shipped_tokenizer.encode(text).tokens
        assert _holds(tokens, alone), (tokens, alone)


def _holds(tokens: list[str], part: list[str]) -> bool:
    return any(tokens[i : i + len(part)] == part for i in range(len(tokens)))


@pytest.mark.parametrize(
    ("one", "many"),
    [("lamp", "lamps"), ("box", "boxes"), ("battery", "batteries"), ("toy", "toys"), ("y", "ys")],
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many
