"""One answer in the making: its tokens, its text, and when it ends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.engines.embedded.lora import Adapter
from penstock.engines.embedded.sampler import Chooser, Logprob, Sampling
from penstock.engines.embedded.stops import StopScanner
from penstock.engines.embedded.tokenizer import Detokenizer, Tokenizer


class Finish(StrEnum):
    """Why an answer ended, in OpenAI's words; `ABORT` and `ERROR` are vLLM's."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Ending:
    """When an answer ends. `eos` is none when it is to be ignored."""

    max_tokens: int
    eos: int | None = None
    stop_ids: frozenset[int] = frozenset()
    stops: tuple[str, ...] = ()
    include_stop: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """What one step added to an answer; `text` may be empty while a character is unfinished."""

    text: str
    tokens: int = 0
    logprob: Logprob | None = None
    finish: Finish | None = None
    stop_reason: str | int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that decides one answer."""

    prompt: list[int]
    sampling: Sampling
    ending: Ending
    adapter: Adapter | None = None
    skip_special_tokens: bool = True


@dataclass(eq=False, slots=True)
class Sequence:
    """One answer on its way through the engine.

    `deliver` is called in the event loop with every delta; the last one has `finish` set.
    `cached` counts the tokens whose keys and values are in the cache's row `row`.
    """

    order: Order
    deliver: Callable[[Delta], None]
    detokenizer: Detokenizer
    scanner: StopScanner | None
    chooser: Chooser
    arrived_s: float
    started_s: float = 0.0
    last_token_s: float = 0.0
    row: int = -1
    cached: int = 0
    made: int = 0
    last: int = field(default=-1)

    @classmethod
    def begin(
        cls,
        order: Order,
        deliver: Callable[[Delta], None],
        *,
        tokenizer: Tokenizer,
        vocabulary: int,
        now_s: float,
    ) -> "Sequence":
        """Make the state of an answer that has no tokens yet."""
        ending = order.ending
        scanner = StopScanner(ending.stops, include=ending.include_stop) if ending.stops else None
        return cls(
            order=order,
            deliver=deliver,
            detokenizer=Detokenizer(
                tokenizer, order.prompt, skip_special_tokens=order.skip_special_tokens
            ),
            scanner=scanner,
            chooser=Chooser(order.sampling, order.prompt, vocabulary),
            arrived_s=now_s,
        )

    @property
    def decoding(self) -> bool:
        """True once the whole prompt is computed."""
        return self.made > 0

    def accept(self, token: int, logprob: Logprob | None) -> Delta:
        """Take the next token; return what it adds, with `finish` set if it is the last."""
        self.made += 1
        self.last = token
        ending = self.order.ending
        if token == ending.eos or token in ending.stop_ids:
            text = self.scanner.flush() if self.scanner else ""
            if ending.include_stop:
                text += self.detokenizer.push(token)
            reason = None if token == ending.eos else token
            return Delta(text, 1, logprob, Finish.STOP, reason)
        text, hit = self.detokenizer.push(token), None
        if self.scanner and self.made > self.order.sampling.min_tokens:
            text, hit = self.scanner.push(text)
        if hit is not None:
            return Delta(text, 1, logprob, Finish.STOP, hit)
        if self.made >= ending.max_tokens:
            text += self.scanner.flush() if self.scanner else ""
            return Delta(text, 1, logprob, Finish.LENGTH)
        return Delta(text, 1, logprob)
