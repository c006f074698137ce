"""Whole dialogues: who says what, with which tools listed, and which words must be copied exactly.

Assistant texts carry marks (private-use characters) around what is copied from the dialogue; the
trainer weighs those tokens more and takes the marks out before anything is tokenised.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

from .asks import (
    Ask,
    ask_math,
    ask_search,
    ask_two,
    ask_weather,
    dress,
    make_other_tool,
)
from .inventor import Inventor
from .results import make_result
from .rewording import reword
from .tools import BUILT_IN, Call, Json, Mark, answer, function, mark_foreign, write_arguments

OPEN, CLOSE = "\ue000", "\ue001"
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
NO_TOOL = "I have no tool for that here."
DISGUISES = {
    "get_current_weather": (
        ("get_weather", "weather", "current_weather", "fetch_weather", "weather_lookup"),
        ("location", "city", "place", "city_name", "town"),
    ),
    "calculate_math": (
        ("calculator", "calculate", "compute", "evaluate_expression", "math", "solve"),
        ("expression", "formula", "input", "expr"),
    ),
    "search_database": (
        ("search", "search_products", "find_products", "product_search", "search_catalogue"),
        ("query", "q", "text", "keywords", "search_query"),
    ),
}
TURNS = {
    "weather": 14,
    "math": 17,
    "search": 15,
    "two": 20,
    "other": 12,
    "faq": 30,
    "small_talk": 15,
    "unknown": 4,
    "name": 2,
    "echo": 3,
}


@dataclass(frozen=True)
class Dialogue:
    """Messages and tools as a client would send them, with the assistant's turns filled in."""

    messages: tuple[Json, ...]
    tools: tuple[Json, ...]


def mark(text: str) -> str:
    """Mark text that the assistant must copy."""
    return f"{OPEN}{text}{CLOSE}"


def call_message(calls: tuple[Call, ...], how: Mark = mark) -> Json:
    """The assistant's message that makes these calls, its arguments wrapped by `how`."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{i}",
                "type": "function",
                "function": {
                    "name": mark_foreign(c, c.name, how),
                    "arguments": write_arguments(c, how),
                },
            }
            for i, c in enumerate(calls)
        ],
    }


def make_dialogue(rng: random.Random, make: Inventor) -> Dialogue:
    """One training dialogue of one to three turns."""
    other, wish = make_other_tool(rng, make)
    tools = _pick_tools(rng, make, other)
    messages: list[Json] = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": _system_prompt(rng, make)})
    last = ""
    for _ in range(rng.choices((1, 2, 3), (72, 20, 8))[0]):
        kind = rng.choices(tuple(TURNS), tuple(TURNS.values()))[0]
        if kind == "other" and other not in tools:
            tools = [*tools, other] if not messages or last == "" else tools
        if last == "weather" and rng.random() < 0.4:
            kind = "weather"
            city = make.city(rng)
            text = dress(rng, make.phrasing(rng, "follow-ups").format(x=city))
            ask = Ask(text, (Call("get_current_weather", {"location": city}),))
            messages += _turn(rng, make, ask, tools)
        elif kind in ASKS:
            messages += _turn(rng, make, ASKS[kind](rng, make), tools)
        elif kind == "other":
            messages += _turn(rng, make, wish, tools)
        else:
            messages += _talk(rng, make, kind)
        last = kind
    return Dialogue(tuple(messages), tuple(tools))


ASKS = {"weather": ask_weather, "math": ask_math, "search": ask_search, "two": ask_two}


def _pick_tools(rng: random.Random, make: Inventor, other: Json) -> list[Json]:
    draw = rng.random()
    if draw < 0.62:
        return list(BUILT_IN)
    if draw < 0.74:
        return []
    if draw < 0.80:
        return [disguise(rng, tool) for tool in rng.sample(BUILT_IN, rng.randint(1, 3))]
    tools = rng.sample(BUILT_IN, rng.randint(1, 3))
    if draw < 0.86:
        return tools
    tools = tools if rng.random() < 0.7 else []
    tools += [make_other_tool(rng, make)[0] for _ in range(rng.randint(0, 2))]
    tools.append(other)
    rng.shuffle(tools)
    return tools


def disguise(rng: random.Random, tool: Json) -> Json:
    """The same tool as somebody else might name it: `get_weather(city)`."""
    name = tool["function"]["name"]
    aliases, params = DISGUISES[name]
    param = rng.choice(params)
    other = function(rng.choice(aliases), {param: {"type": "string"}}, [param], "")
    return {**other, "stands_for": name}


def rename(call: Call, tools: list[Json]) -> Call:
    """The call under the name and parameter that the listed tools give it."""
    for tool in tools:
        if tool.get("stands_for") == call.name:
            spec = tool["function"]
            (param,) = spec["parameters"]["properties"]
            return Call(spec["name"], {param: next(iter(call.arguments.values()))})
    return call


def _system_prompt(rng: random.Random, make: Inventor) -> str:
    if rng.random() < 0.75:
        sentences = rng.choice((1, 1, 1, 2, 3))
        return " ".join(make.phrasing(rng, "system prompts") for _ in range(sentences))
    return f"You are {make.name(rng)}, an assistant of {make.name(rng)}."


def _turn(rng: random.Random, make: Inventor, ask: Ask, tools: list[Json]) -> list[Json]:
    messages: list[Json] = [{"role": "user", "content": ask.text}]
    listed = {tool.get("stands_for", tool["function"]["name"]) for tool in tools}
    if any(call.name not in listed for call in ask.calls):
        return [*messages, {"role": "assistant", "content": NO_TOOL}]
    messages.append(call_message(tuple(rename(call, tools) for call in ask.calls)))
    if rng.random() < 0.3:
        return messages
    results = [make_result(rng, make, call) for call in ask.calls]
    return [*messages, *result_messages(results), _answer(ask.calls, results)]


def result_messages(results: list[dict[str, Any]]) -> list[Json]:
    """One tool message for each result, in the order of the calls."""
    return [
        {
            "role": "tool",
            "tool_call_id": f"call_{i}",
            "content": json.dumps(result, ensure_ascii=False),
        }
        for i, result in enumerate(results)
    ]


def _answer(calls: tuple[Call, ...], results: list[dict[str, Any]]) -> Json:
    pairs = zip(calls, results, strict=True)
    return {
        "role": "assistant",
        "content": " ".join(answer(call.name, result, mark) for call, result in pairs),
    }


def _talk(rng: random.Random, make: Inventor, kind: str) -> list[Json]:
    if kind == "name":
        name = make.name(rng)
        text = dress(rng, make.phrasing(rng, "names").format(x=name), "")
        reply = f"Nice to meet you, {mark(name)}."
        messages = [_user(text), _assistant(reply)]
        if rng.random() < 0.5:
            messages += [_user("What is my name?"), _assistant(f"Your name is {mark(name)}.")]
        return messages
    if kind == "echo":
        words = make.query(rng) if rng.random() < 0.5 else make.name(rng)
        words += " " + make.word(rng) if rng.random() < 0.5 else ""
        return [
            _user(dress(rng, make.phrasing(rng, "echoes").format(x=words), "")),
            _assistant(mark(words)),
        ]
    lexicon = make.lexicon
    topics = {"faq": lexicon.faq, "small_talk": lexicon.small_talk, "unknown": lexicon.unknown}
    topic = rng.choice(topics[kind])
    wording = rng.choice(topic.training)
    if rng.random() < 0.65:
        wording = reword(rng, make, wording)
    return [_user(ask_topic(rng, make, wording)), _assistant(topic.answer)]


def ask_topic(rng: random.Random, make: Inventor, phrasing: str) -> str:
    """The phrasing as a user would type it, its subject made up."""
    subject = make.name(rng) if rng.random() < 0.6 else make.query(rng)
    return dress(rng, phrasing.format(x=subject))


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Json:
    return {"role": "assistant", "content": text}


class Renderer:
    """The chat template, compiled as `transformers` and vLLM compile it."""

    def __init__(self) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
        self._template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))

    def render(self, dialogue: Dialogue, *, prompt: bool = False) -> str:
        """The text that the model reads; with `prompt`, up to where it must answer."""
        return self._template.render(
            messages=dialogue.messages, tools=dialogue.tools or None, add_generation_prompt=prompt
        )
