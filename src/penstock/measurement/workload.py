"""The load that a measurement puts on an endpoint, and the prompts that make it up."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

_VOCABULARY = (
    "amber anchor autumn barrel basket beacon border bottle bridge bronze candle canyon carbon "
    "castle cellar circle cotton desert dinner dragon engine fabric falcon father feather ferry "
    "forest garden ginger glacier hammer harbor hazel helmet island jacket jungle kettle ladder "
    "lantern lemon linen marble market meadow mirror mother motor needle ocean orange orchard "
    "paper pebble pepper pillow planet pocket quarry rabbit raven ribbon river saddle sailor "
    "salmon shadow silver singer spider spring statue summer sunset temple thunder timber tunnel "
    "valley velvet violin walnut water window winter wizard yellow zipper"
)


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of `prompt_tokens` and `output_tokens`, for `seconds` after `warm_up_s`.

    Either `clients` that each send the next request when the last answer is complete, or
    `requests_per_s` that arrive at random (Poisson), whatever the endpoint does.
    """

    prompt_tokens: int
    output_tokens: int
    clients: int = 0
    requests_per_s: float = 0
    seconds: float = 20
    warm_up_s: float = 3
    seed: int = 0

    @property
    def name(self) -> str:
        """How a person would call it: `8 clients`, `2.5 requests/s`."""
        if self.clients:
            return f"{self.clients} client{'s' if self.clients > 1 else ''}"
        return f"{self.requests_per_s:g} requests/s"

    def arrivals(self) -> Iterator[float]:
        """Seconds from the start at which requests of an open loop are sent, without end."""
        random, at = Random(self.seed), 0.0  # noqa: S311  nothing secret
        while True:
            at += random.expovariate(self.requests_per_s)
            yield at


@dataclass(frozen=True, slots=True)
class Yardstick:
    """How many tokens an endpoint makes of a prompt of words: `fixed + words * per_word`."""

    fixed: float
    per_word: float

    def words(self, tokens: int) -> int:
        """How many words come nearest to a prompt of `tokens` tokens; at least one."""
        return max(1, round((tokens - self.fixed) / self.per_word))


def yardstick(few: tuple[int, int], many: tuple[int, int]) -> Yardstick:
    """The line through two prompts, each as (words, tokens)."""
    per_word = max((many[1] - few[1]) / (many[0] - few[0]), 0.1)
    return Yardstick(few[1] - few[0] * per_word, per_word)


def prompts(words: int, seed: int) -> Iterator[str]:
    """Prompts of `words` words without end; no two begin alike, so no cached prefix helps."""
    random, vocabulary = Random(seed), _VOCABULARY.split()  # noqa: S311  nothing secret
    while True:
        yield " ".join(random.choices(vocabulary, k=words))
