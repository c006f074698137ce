"""From the time of a step to what a client sees: closed loops, bursts and Poisson arrivals.

In steady state a running answer waits for prompts that are computed in between, so a token takes
`step / (1 - share of time spent on prompts)`; the number of running sequences follows from
Little's law, and is found by iteration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot, log

from penstock.sizing.speed import (
    Efficiency,
    Served,
    admit_ms,
    arrival_ms,
    chunk_tokens,
    decode_step_ms,
    decode_steps,
    packed_prefill_ms,
    prefill_ms,
    stream_ms,
)

_ROUNDS = 24
_MOST_PROMPT_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Load:
    """Prompt and answer of a typical request, tokens."""

    prompt: float
    output: float

    @property
    def context(self) -> float:
        """Tokens of a sequence half-way through its answer."""
        return self.prompt + self.output / 2


@dataclass(frozen=True, slots=True)
class Seen:
    """What clients see: milliseconds, output tokens a second, and running sequences."""

    ttft_ms: float
    tpot_ms: float
    tokens_per_s: float
    running: float


def closed_loop(served: Served, efficiency: Efficiency, load: Load, clients: float) -> Seen:
    """`clients` that each send the next request when the last answer is complete."""
    first = prefill_ms(served, efficiency, load.prompt)
    packed = min(packed_prefill_ms(served, efficiency, load.prompt), first)
    tpot = _token_ms(served, efficiency, load, clients)
    step, busy = tpot, 0.0
    for _ in range(_ROUNDS):
        cycle = first + (load.output - 1) * tpot
        busy = min((clients - 1) * packed / cycle, _MOST_PROMPT_SHARE)
        tpot = (tpot + step / (1 - busy)) / 2
    waits = step / 2 + busy * packed / 2 if clients > 1 else 0.0
    ttft = arrival_ms(served, efficiency) + first + waits
    request_s = (ttft + (load.output - 1) * tpot) / 1e3
    return Seen(ttft, tpot, clients * load.output / request_s, clients)


def lockstep(served: Served, efficiency: Efficiency, load: Load, clients: float) -> Seen:
    """Like `closed_loop` where all answers are equally long: all prompts come at the same time.

    The engine begins with the first prompt that arrives; the others wait for that step, and are
    then computed as many at a time as a step holds.
    """
    alone = prefill_ms(served, efficiency, load.prompt)
    others = clients - 1
    rest = 0.0
    if others > 0:
        packed = others * packed_prefill_ms(served, efficiency, load.prompt)
        admitted = others * admit_ms(served, efficiency)
        rest = hypot(max(packed, alone), admitted)
    steps = max(1.0, others * load.prompt / chunk_tokens(served.gpu))
    waits = others / clients * rest * (steps + 1) / (2 * steps)
    arrival = arrival_ms(served, efficiency)
    ttft = arrival + alone + waits
    token = _token_ms(served, efficiency, load, clients)
    request_ms = arrival + alone + rest + (load.output - 1) * token
    tpot = (request_ms - ttft) / max(load.output - 1, 1)
    return Seen(ttft, tpot, clients * load.output / request_ms * 1e3, clients)


def _token_ms(served: Served, efficiency: Efficiency, load: Load, batch: float) -> float:
    """Milliseconds of a step of `batch` sequences, whose tokens the HTTP server passes on."""
    step = decode_step_ms(served, efficiency, batch, load.context)
    return hypot(step, (batch - 1) * stream_ms(served, efficiency))


def _front_ms(served: Served, efficiency: Efficiency, load: Load) -> float:
    """Milliseconds that the HTTP server spends on a whole request."""
    return admit_ms(served, efficiency) + load.output * stream_ms(served, efficiency)


@dataclass(frozen=True, slots=True)
class Burst:
    """`requests` sent at once; at most `batch` run together; `longest` answer in tokens."""

    requests: int
    batch: float
    longest: float


def burst(served: Served, efficiency: Efficiency, load: Load, all_at_once: Burst) -> Seen:
    """Everything is sent at once: the most an engine gives.

    While requests wait, the batch is full; then it drains, and the longest answers of those that
    still run end it.
    """
    requests, together = all_at_once.requests, min(all_at_once.requests, all_at_once.batch)
    prompts = requests * packed_prefill_ms(served, efficiency, load.prompt)
    full = (requests - together) * load.output / together
    drain = all_at_once.longest
    left = together * load.output / drain
    answers = full * decode_step_ms(served, efficiency, together, load.context)
    answers += drain * decode_step_ms(served, efficiency, max(left, 1), load.context)
    took_ms = hypot(prompts + answers, requests * _front_ms(served, efficiency, load))
    rate = requests * load.output / took_ms * 1e3
    waves = requests / together
    return Seen(prompts / 2 / waves, took_ms / (full + drain), rate, together)


@dataclass(frozen=True, slots=True)
class Steady:
    """Poisson arrivals in steady state. Times in milliseconds, `stable` whether it keeps up."""

    stable: bool
    ttft_ms_p50: float
    ttft_ms_p95: float
    tpot_ms: float
    running: float
    busy: float


def open_loop(
    served: Served, efficiency: Efficiency, load: Load, requests_per_s: float, batch: float
) -> Steady:
    """`requests_per_s` arrive at random, at most `batch` sequences run together.

    Prompts queue for the engine as in M/D/1; the tail is taken as exponential. A request also
    waits for the step that runs when it arrives.
    """
    first = prefill_ms(served, efficiency, load.prompt)
    packed = min(packed_prefill_ms(served, efficiency, load.prompt), first)
    front = requests_per_s * _front_ms(served, efficiency, load) / 1e3
    busy = requests_per_s * packed / 1e3
    steps, stream = decode_steps(served, efficiency, load.context), stream_ms(served, efficiency)

    def token_ms(running: float) -> float:
        most = max(running, 1)
        return hypot(steps(most), (most - 1) * stream) / (1 - busy)

    running, tpot = 1.0, steps(1)
    if busy < _MOST_PROMPT_SHARE:
        each_ms = requests_per_s * load.output / 1e3
        running = _settled(lambda n: each_ms * token_ms(n), 4 * batch)
        tpot = token_ms(running)
    stable = max(busy, front) < _MOST_PROMPT_SHARE and running <= batch
    if not stable:
        return Steady(False, float("inf"), float("inf"), tpot, running, busy)
    step = tpot * (1 - busy) * min(running, 1)
    base = arrival_ms(served, efficiency) + first + step / 2
    crowded = min(running / batch, 1.0)
    admit = admit_ms(served, efficiency)

    def wait(tail: float) -> float:
        queued = wait_ms(busy, packed, tail) + wait_ms(front, admit, tail)
        return queued + wait_ms(crowded**8, tpot, tail)

    return Steady(True, base + wait(0.5), base + wait(0.05) + step / 2, tpot, running, busy)


def _settled(follows: Callable[[float], float], most: float) -> float:
    """The number of running sequences that Little's law asks for at just that number.

    `follows` grows with it; where it stays above, the queue grows without end: `most`.
    """
    low, high = 1.0, most
    if (at_low := follows(low) - low) <= 0:
        return at_low + low
    if (at_high := follows(high) - high) >= 0:
        return most
    for _ in range(_ROUNDS):
        middle = low - at_low * (high - low) / (at_high - at_low)
        found = follows(middle) - middle
        if abs(found) < 1e-3 * middle:
            return middle
        if found > 0:
            low, at_low, at_high = middle, found, at_high / 2
        else:
            high, at_high, at_low = middle, found, at_low / 2
    return low


def wait_ms(busy: float, service_ms: float, tail: float) -> float:
    """Waiting time that a share `tail` of arrivals exceeds, for a server that is `busy` (0 to 1).

    Every arrival takes `service_ms`; the tail of M/D/1 is taken as exponential.
    """
    if busy <= tail:
        return 0.0
    return service_ms / 2 * log(busy / tail) / max(1 - busy, 1e-3)


def most_requests_per_s(
    served: Served, efficiency: Efficiency, load: Load, batch: float, ttft_ms_p95: float
) -> float:
    """The highest arrival rate at which one copy keeps up and 95 % see their first token in time.

    0 when even a lone request is too late, or nothing fits.
    """
    if batch < 1:
        return 0.0
    low, high = 0.0, 1e3 / packed_prefill_ms(served, efficiency, load.prompt)
    if open_loop(served, efficiency, load, 1e-6, batch).ttft_ms_p95 > ttft_ms_p95:
        return 0.0
    for _ in range(12):
        middle = (low + high) / 2
        seen = open_loop(served, efficiency, load, middle, batch)
        if seen.stable and seen.ttft_ms_p95 <= ttft_ms_p95:
            low = middle
        else:
            high = middle
    return low
