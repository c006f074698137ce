"""What users say when they want a tool, and the call it must become."""

import random
from dataclasses import dataclass

from .expressions import make_expression
from .inventor import Inventor
from .tools import Call, Json, function

UNIT_ENDINGS = ("in {u}", ", in {u}", ", {u} please", "in degrees {u}", ". use {u}", "(in {u})")
PAIRS = {
    "two places": ("get_current_weather", "location"),
    "two searches": ("search_database", "query"),
}
JOINS = (" and ", ", and ", ". also, ", " and also ", ", then ", ". and ", "; ", "? and ", "? ")
ARTICLES = ("a", "a", "an", "the", "some")
OPENERS = (
    "please ",
    "hey, ",
    "hi! ",
    "hello. ",
    "could you please tell me, ",
    "hi, ",
    "hello, ",
    "so, ",
    "ok, ",
    "can you tell me: ",
    "quick question: ",
    "now ",
    "then ",
)
CLOSERS = (" please", ", please", " now", " thanks", ", thank you", " for me", " quickly")


@dataclass(frozen=True)
class Ask:
    """A user's message and the calls that it must become (none for talk)."""

    text: str
    calls: tuple[Call, ...] = ()


def dress(rng: random.Random, text: str, end: str = "?", first: str = "") -> str:
    """Vary openers, capitals and the final mark of a sentence; `first`, a string of it, stays."""
    fixed = bool(first) and text.startswith(first)
    if rng.random() < 0.12:
        text = rng.choice(OPENERS) + text
        fixed = False
    if rng.random() < 0.1:
        text = text + rng.choice(CLOSERS)
    if not fixed and rng.random() < 0.6:
        text = text[0].upper() + text[1:]
    return text + rng.choice((end, end, "", "", ".", "?", "!") if end else ("",))


def ask_weather(rng: random.Random, make: Inventor) -> Ask:
    """Ask for the weather of one place, now and then in a unit."""
    city = make.city(rng)
    if rng.random() < 0.15 and not make.words.held_out:
        city = city.lower()
    text = make.phrasing(rng, "weather").format(x=city)
    arguments = {"location": city}
    if rng.random() < 0.2:
        unit = rng.choice(("celsius", "fahrenheit"))
        ending = rng.choice(UNIT_ENDINGS).format(u=rng.choice((unit, unit.title())))
        text += ending if ending[0] in ",." else " " + ending
        arguments["unit"] = unit
    elif rng.random() < 0.12:
        text += rng.choice((" today", " now", " right now", " at the moment", " tomorrow"))
    return Ask(dress(rng, text, first=city), (Call("get_current_weather", arguments),))


def ask_math(rng: random.Random, make: Inventor) -> Ask:
    """Ask for a sum, in signs or in words."""
    said, expression = make_expression(rng, make.lexicon, held_out=make.words.held_out)
    text = make.phrasing(rng, "math").format(x=said)
    end = "" if text.endswith("?") or text == said else "?"
    return Ask(dress(rng, text, end), (Call("calculate_math", {"expression": expression}),))


def ask_search(rng: random.Random, make: Inventor) -> Ask:
    """Ask for things in the catalogue."""
    query = make.query(rng)
    said = query if rng.random() < 0.8 else f"{rng.choice(ARTICLES)} {query}"
    text = make.phrasing(rng, "search").format(x=said)
    return Ask(dress(rng, text), (Call("search_database", {"query": query}),))


def ask_two(rng: random.Random, make: Inventor) -> Ask:
    """Ask for two things at once: two of a kind, or two questions joined."""
    form = rng.random()
    if form < 0.45:
        return _pair(rng, make, "two places", [make.city(rng), make.city(rng)])
    if form < 0.6:
        return _pair(rng, make, "two searches", [make.query(rng), make.query(rng)])
    if form < 0.7:
        held_out = make.words.held_out
        sums = [make_expression(rng, make.lexicon, held_out=held_out) for _ in range(2)]
        text = make.phrasing(rng, "two sums").format(x=sums[0][0], y=sums[1][0])
        calls = tuple(Call("calculate_math", {"expression": wanted}) for _, wanted in sums)
        return Ask(dress(rng, text), calls)
    first, second = rng.sample((ask_weather, ask_math, ask_search), 2)
    one, two = first(rng, make), second(rng, make)
    joined = one.text.rstrip("?.! ") + rng.choice(JOINS) + _lower_first(two.text, two.calls[0])
    return Ask(joined, one.calls + two.calls)


def _pair(rng: random.Random, make: Inventor, kind: str, values: list[str]) -> Ask:
    text = make.phrasing(rng, kind).format(x=values[0], y=values[1])
    name, key = PAIRS[kind]
    return Ask(
        dress(rng, text, first=values[0]), tuple(Call(name, {key: value}) for value in values)
    )


def _lower_first(text: str, call: Call) -> str:
    value = str(next(iter(call.arguments.values())))
    return text if text.startswith(value) else text[0].lower() + text[1:]


def make_other_tool(rng: random.Random, make: Inventor) -> tuple[Json, Ask]:
    """A tool that nobody has seen, with one to three parameters, and a wish that needs it."""
    verb, noun = rng.choice(make.words.verbs), rng.choice(make.words.nouns)
    if rng.random() < 0.3:
        noun = make.word(rng)
    if rng.random() < 0.3 and not make.words.held_out:
        verb = make.word(rng)
    name = f"{verb}_{noun}"
    params = rng.sample(make.words.params, rng.choice((1, 1, 2, 2, 3)))
    if not make.words.held_out:
        params = [make.word(rng) if rng.random() < 0.35 else param for param in params]
    if rng.random() < 0.2:
        params[0] = f"{noun}_{params[0]}"
    kinds = [rng.choice(("string", "string", "string", "integer")) for _ in params]
    required = [p for p in params if rng.random() < 0.8] or params
    properties = {p: {"type": kind} for p, kind in zip(params, kinds, strict=True)}
    values = {p: _value(rng, make, kind) for p, kind in zip(params, kinds, strict=True)}
    given = {p: v for p, v in values.items() if p in required or rng.random() < 0.5}
    link = rng.choice((" {v}", " {v}", " is {v}", " = {v}", ": {v}"))
    fields = [p.replace("_", rng.choice((" ", "_"))) + link.format(v=v) for p, v in given.items()]
    text = make.phrasing(rng, "other tools").format(
        name=name,
        verb=verb.replace("_", " "),
        noun=noun.replace("_", " "),
        fields=rng.choice((", ", " and ")).join(fields),
    )
    tool = function(name, properties, required, f"{verb} a {noun}")
    return tool, Ask(dress(rng, text, "", name), (Call(name, given),))


def _value(rng: random.Random, make: Inventor, kind: str) -> str | int:
    if kind == "integer":
        return rng.choice((rng.randint(0, 12), rng.randint(0, 999), rng.randint(0, 99999)))
    return rng.choice((make.name, make.query, make.identifier))(rng)
