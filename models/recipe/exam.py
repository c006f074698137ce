"""The exam: questions of held-out strings and wordings, with the exact answers expected."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from .asks import Ask, ask_math, ask_search, ask_two, ask_weather, make_other_tool
from .dialogues import ask_topic, call_message, mark, result_messages
from .inventor import Inventor
from .lexicon import Topic
from .results import make_result
from .tools import BUILT_IN, Call, Json, answer, plain

KINDS = ("weather", "math", "search", "two calls", "other tools", "answers", "small talk", "faq")


@dataclass(frozen=True)
class Question:
    """One exam question: what is sent, and what must come back.

    `calls` is empty when no tool may be called; `text` is None when any text will do.
    """

    kind: str
    messages: tuple[Json, ...]
    tools: tuple[Json, ...]
    calls: tuple[Call, ...] = ()
    text: str | None = None
    marked: str | None = None

    def solution(self) -> Json:
        """The assistant's message that answers this question, copied words marked."""
        if self.calls:
            return call_message(self.calls)
        return {"role": "assistant", "content": self.marked or self.text}


def set_exam(make: Inventor, seed: int, each: int) -> list[Question]:
    """`each` questions of every kind, the same for the same seed."""
    rng = random.Random(seed)
    return [MAKERS[kind](rng, make) for kind in KINDS for _ in range(each)]


def _wish(kind: str, ask: Callable[[random.Random, Inventor], Ask]) -> "Maker":
    def make_question(rng: random.Random, make: Inventor) -> Question:
        asked = ask(rng, make)
        return Question(kind, _open(rng, make, asked.text), BUILT_IN, calls=asked.calls)

    return make_question


def _other(rng: random.Random, make: Inventor) -> Question:
    tool, asked = make_other_tool(rng, make)
    tools = [*BUILT_IN, tool] if rng.random() < 0.5 else [tool, make_other_tool(rng, make)[0]]
    return Question("other tools", _open(rng, make, asked.text), tuple(tools), calls=asked.calls)


def _answer(rng: random.Random, make: Inventor) -> Question:
    asks = (ask_weather, ask_weather, ask_math, ask_search, ask_search, ask_two)
    asked = rng.choice(asks)(rng, make)
    results = [make_result(rng, make, call) for call in asked.calls]
    messages = (
        *_open(rng, make, asked.text),
        call_message(asked.calls, plain),
        *result_messages(results),
    )
    pairs = list(zip(asked.calls, results, strict=True))
    said, marked = (
        " ".join(answer(call.name, result, how) for call, result in pairs) for how in (plain, mark)
    )
    return Question("answers", messages, BUILT_IN, text=said, marked=marked)


def _small_talk(rng: random.Random, make: Inventor) -> Question:
    topic = rng.choice((*make.lexicon.small_talk, *make.lexicon.unknown))
    text = ask_topic(rng, make, rng.choice(topic.held_out))
    return Question("small talk", _open(rng, make, text), BUILT_IN, marked=topic.answer)


def _faq(rng: random.Random, make: Inventor) -> Question:
    topic: Topic = rng.choice(make.lexicon.faq)
    text = ask_topic(rng, make, rng.choice(topic.held_out))
    tools = BUILT_IN if rng.random() < 0.7 else ()
    return Question("faq", _open(rng, make, text), tools, text=topic.answer)


def _open(rng: random.Random, make: Inventor, text: str) -> tuple[Json, ...]:
    user: Json = {"role": "user", "content": text}
    if rng.random() < 0.4:
        return ({"role": "system", "content": make.phrasing(rng, "system prompts")}, user)
    return (user,)


Maker = Callable[[random.Random, Inventor], Question]
MAKERS: dict[str, Maker] = {
    "weather": _wish("weather", ask_weather),
    "math": _wish("math", ask_math),
    "search": _wish("search", ask_search),
    "two calls": _wish("two calls", ask_two),
    "other tools": _other,
    "answers": _answer,
    "small talk": _small_talk,
    "faq": _faq,
}
