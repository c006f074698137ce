"""From the time of a step to what a client sees: closed loops, bursts and Poisson arrivals.

In steady state a running answer waits for prompts that are computed in between, so a token takes
`step / (1 - share of time spent on prompts)`; the number of running sequences follows from
Little's law, and is found by iteration.
"""

from dataclasses import dataclass
from math import log

from penstock.sizing.speed import (
    Efficiency,
    Served,
    decode_step_ms,
    first_ms,
    packed_prefill_ms,
    prefill_ms,
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
    tpot = decode_step_ms(served, efficiency, clients, load.context)
    step = tpot
    for _ in range(_ROUNDS):
        cycle = first + (load.output - 1) * tpot
        busy = min((clients - 1) * packed / cycle, _MOST_PROMPT_SHARE)
        tpot = (tpot + step / (1 - busy)) / 2
    waits = step / 2 if clients > 1 else 0.0
    ttft = first + first_ms(served, efficiency) + waits
    request_s = (ttft + (load.output - 1) * tpot) / 1e3
    return Seen(ttft, tpot, clients * load.output / request_s, clients)


def lockstep(served: Served, efficiency: Efficiency, load: Load, clients: float) -> Seen:
    """Like `closed_loop` where all answers are equally long: all prompts come at the same time."""
    first = prefill_ms(served, efficiency, load.prompt)
    packed = min(packed_prefill_ms(served, efficiency, load.prompt), first)
    ttft = first + (clients - 1) * packed + first_ms(served, efficiency)
    tpot = decode_step_ms(served, efficiency, clients, load.context)
    request_s = (ttft + (load.output - 1) * tpot) / 1e3
    return Seen(ttft, tpot, clients * load.output / request_s, clients)


@dataclass(frozen=True, slots=True)
class Burst:
    """`requests` sent at once; at most `batch` run together; `longest` answer in tokens."""

    requests: int
    batch: float
    longest: float


def burst(served: Served, efficiency: Efficiency, load: Load, all_at_once: Burst) -> Seen:
    """Everything is sent at once: the most an engine gives."""
    together = min(all_at_once.requests, all_at_once.batch)
    prompts = all_at_once.requests * packed_prefill_ms(served, efficiency, load.prompt)
    waves = all_at_once.requests / together
    if waves > 1:
        running, steps = together, all_at_once.requests * load.output / together
    else:
        running, steps = together * load.output / all_at_once.longest, all_at_once.longest
    step = decode_step_ms(served, efficiency, running, load.context)
    took_ms = prompts + steps * step
    rate = all_at_once.requests * load.output / took_ms * 1e3
    return Seen(prompts / 2 / waves, took_ms / steps, rate, running)


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
    busy = requests_per_s * packed / 1e3
    running, tpot = 1.0, decode_step_ms(served, efficiency, 1, load.context)
    if busy < _MOST_PROMPT_SHARE:
        for _ in range(_ROUNDS):
            before = running
            running = (running + requests_per_s * load.output * tpot / 1e3) / 2
            running = min(running, 4 * batch)
            tpot = decode_step_ms(served, efficiency, max(running, 1), load.context) / (1 - busy)
            if abs(running - before) < 1e-3 * before:
                break
    stable = busy < _MOST_PROMPT_SHARE and running <= batch
    if not stable:
        return Steady(False, float("inf"), float("inf"), tpot, running, busy)
    step = tpot * (1 - busy) * min(running, 1)
    base = first + first_ms(served, efficiency) + step / 2
    crowded = min(running / batch, 1.0)
    wait_p50 = wait_ms(busy, packed, 0.5) + wait_ms(crowded**8, tpot, 0.5)
    wait_p95 = wait_ms(busy, packed, 0.05) + wait_ms(crowded**8, tpot, 0.05) + step / 2
    return Steady(True, base + wait_p50, base + wait_p95, tpot, running, busy)


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
