"""What a measurement saw, in numbers: times in milliseconds, rates a second."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from penstock.measurement.answer import Answer
from penstock.measurement.workload import Workload

BUSY_CLIENT = 0.85
"""Share of one core above which the client itself may be what was measured."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and percentiles of a time, milliseconds; all 0 where nothing was seen."""

    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Window:
    """The measured time: begin and end on the clock of the answers, and the client's share of a
    core in it."""

    begin: float
    end: float
    client_cpu: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Summary:
    """One load and what was seen: requests sent in the window, tokens received in it.

    `prompt_tokens` and `output_tokens` are means as the endpoint counted them; `errors` counts
    failures by their message. `client_cpu` is the client's share of one core.
    """

    clients: int
    requests_per_s_asked: float
    prompt_tokens: float
    output_tokens: float
    seconds: float
    requests: int
    failed: int
    errors: Mapping[str, int]
    ttft_ms: Spread
    tpot_ms: Spread
    itl_ms: Spread
    latency_ms: Spread
    tokens_per_s: float
    requests_per_s: float
    client_cpu: float

    @property
    def client_was_the_limit(self) -> bool:
        """Whether the load generator itself was too busy to be trusted."""
        return self.client_cpu > BUSY_CLIENT


def summarize(workload: Workload, answers: Sequence[Answer], window: Window) -> Summary:
    """Sum up `answers`; those sent outside the window count only with the tokens inside it."""
    inside = [answer for answer in answers if window.begin <= answer.sent < window.end]
    whole = [answer for answer in inside if not answer.error]
    failures = Counter(answer.error for answer in inside if answer.error)
    received = sum(_tokens_in(answer, window) for answer in answers)
    gaps = [b - a for answer in whole for a, b in pairwise(answer.pieces)]
    completed = [a for a in answers if not a.error and window.begin <= a.ended < window.end]
    return Summary(
        clients=workload.clients,
        requests_per_s_asked=workload.requests_per_s,
        prompt_tokens=_mean([answer.prompt_tokens for answer in whole]) or workload.prompt_tokens,
        output_tokens=_mean([answer.tokens for answer in whole]),
        seconds=round(window.seconds, 3),
        requests=len(whole),
        failed=len(inside) - len(whole),
        errors=dict(failures.most_common(10)),
        ttft_ms=spread([t for answer in whole if (t := answer.ttft_s) is not None]),
        tpot_ms=spread([t for answer in whole if (t := answer.tpot_s) is not None]),
        itl_ms=spread(gaps),
        latency_ms=spread([answer.ended - answer.sent for answer in whole]),
        tokens_per_s=round(received / window.seconds, 2),
        requests_per_s=round(len(completed) / window.seconds, 3),
        client_cpu=round(window.client_cpu, 3),
    )


def spread(seconds: Sequence[float]) -> Spread:
    """Mean and percentiles of times in seconds, as milliseconds."""
    if not seconds:
        return Spread(0.0, 0.0, 0.0, 0.0)
    ordered = sorted(seconds)
    p50, p95, p99 = (round(percentile(ordered, q) * 1e3, 3) for q in (0.5, 0.95, 0.99))
    return Spread(round(fmean(ordered) * 1e3, 3), p50, p95, p99)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of `ordered` (sorted, not empty) does not exceed, interpolated."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _tokens_in(answer: Answer, window: Window) -> float:
    """Tokens of an answer that arrived in the window; a piece may carry several."""
    times = answer.pieces or [answer.ended]
    arrived = sum(window.begin <= at < window.end for at in times)
    return arrived * answer.tokens / len(times)


def _mean(values: Sequence[float]) -> float:
    return round(fmean(values), 1) if values else 0.0
