"""The three built-in tools as OpenAI functions, calls, and the sentence that answers each result.

The answers are fixed templates, so that an evaluation can ask for the exact sentence.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]
Mark = Callable[[str], str]


@dataclass(frozen=True)
class Call:
    """One tool call: the function's name and its arguments in the order they are written."""

    name: str
    arguments: Json


def function(name: str, properties: dict[str, Any], required: list[str], about: str) -> Json:
    """An OpenAI tool entry for a function with these JSON-schema properties."""
    schema = {"type": "object", "properties": properties, "required": required}
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": schema},
    }


WEATHER = function(
    "get_current_weather",
    {
        "location": {"type": "string", "description": "City, for example Paris"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    ["location"],
    "Current weather of a city",
)
MATH = function(
    "calculate_math",
    {"expression": {"type": "string", "description": "For example 12*7"}},
    ["expression"],
    "Work out an arithmetic expression",
)
SEARCH = function(
    "search_database",
    {"query": {"type": "string", "description": "Words to look for"}},
    ["query"],
    "Search the catalogue",
)
BUILT_IN = (WEATHER, MATH, SEARCH)
BUILT_IN_NAMES = frozenset(tool["function"]["name"] for tool in BUILT_IN)


def plain(text: str) -> str:
    """The mark that marks nothing."""
    return text


def write_arguments(call: Call, mark: Mark = plain) -> str:
    """The arguments as `json.dumps` writes them, what must be copied wrapped by `mark`.

    Keys are known by heart for the built-in tools, and copied for others.
    """
    parts = []
    for key, value in call.arguments.items():
        text = json.dumps(value, ensure_ascii=False)
        text = f'"{mark(text[1:-1])}"' if isinstance(value, str) else mark(text)
        parts.append(f'"{mark_foreign(call, key, mark)}": {text}')
    return "{" + ", ".join(parts) + "}"


def mark_foreign(call: Call, text: str, mark: Mark) -> str:
    """Mark the text when the call is not of a built-in tool."""
    return text if call.name in BUILT_IN_NAMES else mark(text)


def answer(name: str, result: Json, mark: Mark = plain) -> str:
    """The sentence that answers one tool result."""
    if "error" in result:
        return f"I could not do that: {mark(str(result['error']))}."
    sentences = {
        "get_current_weather": _weather,
        "calculate_math": _math,
        "search_database": _search,
    }
    return sentences.get(name, _other)(result, mark)


def _weather(result: Json, mark: Mark) -> str:
    degrees = f"{mark(json.dumps(result['temperature']))} degrees {result['unit']}"
    place, sky = mark(result["location"]), mark(result["conditions"])
    if result["source"] == "climate":
        return f"In {place} it is typically {degrees} and {sky} at this time of year."
    return f"It is {degrees} and {sky} in {place} now."


def _math(result: Json, mark: Mark) -> str:
    return f"{mark(result['expression'])} is {mark(json.dumps(result['result']))}."


def _search(result: Json, mark: Mark) -> str:
    query = mark(result["query"])
    if not result["results"]:
        return f"I found nothing for {query}."
    hits = ", ".join(
        f"{mark(hit['title'])} at {mark(json.dumps(hit['price']))}" for hit in result["results"]
    )
    return f"I found {mark(str(result['count']))} for {query}: {hits}."


def _other(result: Json, mark: Mark) -> str:
    pairs = (
        f"{mark(key)} {mark(v if isinstance(v, str) else json.dumps(v))}"
        for key, v in result.items()
    )
    return f"Here is the result: {', '.join(pairs)}."
