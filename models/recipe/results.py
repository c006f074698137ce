"""What the tools might answer: results in the shape that Penstock's tools return them."""

import random
from typing import Any

from .inventor import Inventor, plural
from .tools import Call

BRANDS = 0.3


def make_result(rng: random.Random, make: Inventor, call: Call) -> dict[str, Any]:
    """A result of this call, or now and then its failure."""
    if rng.random() < 0.1:
        wrong = rng.choice((str(next(iter(call.arguments.values()), "it")), make.name(rng)))
        return {"error": make.phrasing(rng, "failures").format(x=wrong, n=rng.randint(1, 60))}
    makers = {
        "get_current_weather": make_weather,
        "calculate_math": make_sum,
        "search_database": make_hits,
    }
    return makers.get(call.name, make_record)(rng, make, call)


def make_weather(rng: random.Random, make: Inventor, call: Call) -> dict[str, Any]:
    """The weather of the place that was asked for, live or from the climate table."""
    unit = call.arguments.get("unit", "celsius")
    low, high = (-25, 42) if unit == "celsius" else (-15, 110)
    degrees = rng.randint(low, high)
    place = call.arguments["location"]
    return {
        "location": place.title() if rng.random() < 0.1 else place,
        "temperature": degrees if rng.random() < 0.6 else round(degrees + rng.random(), 1),
        "unit": unit,
        "conditions": make.phrasing(rng, "conditions") if rng.random() < 0.9 else make.word(rng),
        "source": rng.choice(("live", "climate")),
    }


def make_sum(rng: random.Random, make: Inventor, call: Call) -> dict[str, Any]:
    """A plausible value; the model copies it and is not asked to know it."""
    form = rng.random()
    value: float = rng.randint(-200, 2000)
    if form < 0.3:
        value = rng.randint(0, 10 ** rng.randint(1, 10))
    elif form < 0.55:
        value = round(rng.uniform(-100, 5000), rng.randint(1, 4))
    elif form < 0.65:
        value = rng.randint(1, 100) / rng.choice((3, 6, 7, 9, 11, 13))
    return {"expression": call.arguments["expression"], "result": value}


def make_hits(rng: random.Random, make: Inventor, call: Call) -> dict[str, Any]:
    """None to three products; the count may exceed what is shown."""
    shown = rng.choice((0, 1, 1, 2, 2, 3, 3))
    more = rng.randint(1, 90) if shown == 3 and rng.random() < 0.3 else 0
    hits = [
        {"id": rng.randint(1, 500), "title": make_title(rng, make, call), "price": make_price(rng)}
        for _ in range(shown)
    ]
    return {"query": call.arguments["query"], "count": shown + more, "results": hits}


def make_title(rng: random.Random, make: Inventor, call: Call) -> str:
    """A product's title, which often holds the words that were searched."""
    words = str(call.arguments["query"]) if rng.random() < 0.4 else make.query(rng)
    if rng.random() < BRANDS:
        words = f"{make.word(rng)} {words}"
    if rng.random() < 0.2:
        words = plural(words)
    return words.title() if rng.random() < 0.85 else words


def make_price(rng: random.Random) -> float:
    """A price as JSON writes it: 39.5, 89.0 or 12.99."""
    form = rng.random()
    if form < 0.3:
        return float(rng.randint(1, 900))
    if form < 0.6:
        return rng.randint(1, 300) + rng.choice((0.5, 0.9, 0.95, 0.99))
    return round(rng.uniform(1, 999), 2)


def make_record(rng: random.Random, make: Inventor, call: Call) -> dict[str, Any]:
    """A flat record, as an unknown tool might return."""
    keys = rng.sample(make.words.params, rng.choice((1, 2, 2, 3)))
    values = (make.name, make.query, make.identifier, lambda r: r.randint(0, 999))
    return {key: rng.choice(values)(rng) for key in keys}
