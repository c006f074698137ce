"""What the engine counts, under the names vLLM gives them, so that one dashboard reads both.

Counting happens for every token, so it is plain integers; prometheus-client formats them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

CONTENT_TYPE = CONTENT_TYPE_LATEST

# The bucket bounds are vLLM's, seconds.
_SHORT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5)
_FIRST_TOKEN = (*_SHORT, 10, 20, 40, 80, 160, 640, 2560)
_MEDIUM = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5)
_BETWEEN_TOKENS = (*_MEDIUM, 10, 20, 40, 80)
_REQUEST = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920)


class Histogram:
    """Counts of seconds in buckets."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def family(self, name: str, text: str, model: str) -> Metric:
        """Return it in prometheus-client's form."""
        total, buckets = 0, []
        for bound, count in zip([*map(float, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((str(bound), total))
        family = HistogramMetricFamily(name, text, labels=["model_name"])
        family.add_metric([model], buckets, self._sum)
        return family


@dataclass(slots=True)
class Tally:
    """The counters of one engine."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[str, int] = field(
        default_factory=lambda: {"stop": 0, "length": 0, "abort": 0, "error": 0}
    )
    first_token: Histogram = field(default_factory=lambda: Histogram(_FIRST_TOKEN))
    between_tokens: Histogram = field(default_factory=lambda: Histogram(_BETWEEN_TOKENS))
    queued: Histogram = field(default_factory=lambda: Histogram(_REQUEST))
    whole: Histogram = field(default_factory=lambda: Histogram(_REQUEST))


@dataclass(frozen=True, slots=True)
class State:
    """What is true at the moment of a scrape."""

    running: int
    waiting: int
    cache_usage: float
    max_adapters: int
    running_adapters: Iterable[str]
    waiting_adapters: Iterable[str]
    now_s: float


def expose(tally: Tally, state: State, model: str) -> bytes:
    """Return the text of `/metrics`."""
    registry = CollectorRegistry()
    registry.register(_Families(list(_families(tally, state, model))))
    return generate_latest(registry)


class _Families(Collector):
    """Hands ready-made families to prometheus-client."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def _families(tally: Tally, state: State, model: str) -> Iterator[Metric]:
    def one(kind: Any, name: str, text: str, value: float) -> Metric:
        family: Metric = kind(name, text, labels=["model_name"])
        family.add_metric([model], value)  # type: ignore[attr-defined]
        return family

    yield one(
        GaugeMetricFamily, "vllm:num_requests_running", "Answers being computed.", state.running
    )
    yield one(
        GaugeMetricFamily, "vllm:num_requests_waiting", "Answers waiting for a row.", state.waiting
    )
    yield one(
        GaugeMetricFamily,
        "vllm:kv_cache_usage_perc",
        "Share of the KV cache in use, 0 to 1.",
        state.cache_usage,
    )
    yield one(
        CounterMetricFamily, "vllm:prompt_tokens", "Prompt tokens computed.", tally.prompt_tokens
    )
    yield one(
        CounterMetricFamily,
        "vllm:generation_tokens",
        "Tokens generated.",
        tally.generation_tokens,
    )
    success = CounterMetricFamily(
        "vllm:request_success",
        "Answers by the reason they ended.",
        labels=["model_name", "finished_reason"],
    )
    for reason, count in tally.finished.items():
        success.add_metric([model, reason], count)
    yield success
    for histogram, name, text in (
        (tally.first_token, "time_to_first_token", "Arrival to first token."),
        (tally.between_tokens, "inter_token_latency", "Between two tokens of an answer."),
        (tally.queued, "request_queue_time", "Arrival to first computation."),
        (tally.whole, "e2e_request_latency", "Arrival to last token."),
    ):
        yield histogram.family(f"vllm:{name}_seconds", text, model)
    adapters = GaugeMetricFamily(
        "vllm:lora_requests_info",
        "Adapters in use; the value is the time of the scrape.",
        labels=["model_name", "max_lora", "running_lora_adapters", "waiting_lora_adapters"],
    )
    adapters.add_metric(
        [
            model,
            str(state.max_adapters),
            ",".join(sorted(set(state.running_adapters))),
            ",".join(sorted(set(state.waiting_adapters))),
        ],
        state.now_s,
    )
    yield adapters
