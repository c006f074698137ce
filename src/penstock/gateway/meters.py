"""Counting on the hot path: plain integers, turned into Prometheus families when scraped."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from penstock.gateway.passage import Usage
from penstock.ground import metrics


class Histogram:
    """Counts by bucket; bounds are `LATENCY_BUCKETS_S`."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(metrics.LATENCY_BUCKETS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one measurement."""
        self.counts[bisect_left(metrics.LATENCY_BUCKETS_S, seconds)] += 1
        self.total_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative `(upper bound, count)` pairs as Prometheus wants them."""
        rows, running = [], 0
        for bound, count in zip((*metrics.LATENCY_BUCKETS_S, "+Inf"), self.counts, strict=True):
            running += count
            rows.append((str(bound), float(running)))
        return rows


class Meter:
    """What one tenant used of one model."""

    __slots__ = (
        "cached",
        "completion",
        "estimated",
        "model",
        "outcomes",
        "prompt",
        "seconds",
        "tenant",
        "ttft",
    )

    def __init__(self, tenant: str, model: str) -> None:
        self.tenant, self.model = tenant, model
        self.outcomes: dict[str, int] = {}
        self.prompt = self.cached = self.completion = self.estimated = 0
        self.seconds, self.ttft = Histogram(), Histogram()

    def settle(self, outcome: str, usage: Usage | None, passed_on: int, seconds: float) -> None:
        """Count one finished request.

        `usage` is the engine's own count; `passed_on` events stand for the completion tokens that
        it does not cover, and are kept apart as an estimate.
        """
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.seconds.add(seconds)
        if usage is not None:
            self.prompt += usage.prompt_tokens
            self.cached += usage.cached_tokens
            self.completion += usage.completion_tokens or 0
        self.estimated += passed_on


class Meters(Collector):
    """All meters of this process; a Prometheus collector."""

    def __init__(self, gauges: Callable[[], Iterable[Family]]) -> None:
        """`gauges` is asked at each scrape for what is known elsewhere (engines, connections)."""
        self._gauges = gauges
        self._rows: dict[tuple[str, str], Meter] = {}
        self._refusals: dict[int, int] = {}
        self._tools: dict[tuple[str, str, str], int] = {}
        self._tool_seconds: dict[str, Histogram] = {}

    def of(self, tenant: str, model: str) -> Meter:
        """Return the meter of this tenant and model."""
        row = self._rows.get((tenant, model))
        if row is None:
            row = self._rows[tenant, model] = Meter(tenant, model)
        return row

    def refuse(self, status: int) -> None:
        """Count a request that did not get past the door."""
        self._refusals[status] = self._refusals.get(status, 0) + 1

    def tool_called(self, tool: str, tenant: str, outcome: str, seconds: float) -> None:
        """Count one tool call."""
        key = (tool, tenant, outcome)
        self._tools[key] = self._tools.get(key, 0) + 1
        self._tool_seconds.setdefault(tool, Histogram()).add(seconds)

    def collect(self) -> Iterator[Family]:
        """Prometheus: all families."""
        requests, tokens = counter(metrics.REQUESTS), counter(metrics.TOKENS)
        estimated = counter(metrics.ESTIMATED_TOKENS)
        seconds, ttft = histogram(metrics.REQUEST_SECONDS), histogram(metrics.TTFT_SECONDS)
        for row in self._rows.values():
            labels = [row.tenant, row.model]
            for outcome, count in row.outcomes.items():
                requests.add_metric([*labels, outcome], count)
            kinds = {"prompt": row.prompt, "cached": row.cached, "completion": row.completion}
            for kind, count in kinds.items():
                tokens.add_metric([*labels, kind], count)
            estimated.add_metric(labels, row.estimated)
            seconds.add_metric(labels, row.seconds.buckets(), row.seconds.total_s)
            ttft.add_metric(labels, row.ttft.buckets(), row.ttft.total_s)
        refusals, tools = counter(metrics.REFUSALS), counter(metrics.TOOL_CALLS)
        for status, count in self._refusals.items():
            refusals.add_metric([str(status)], count)
        for key, count in self._tools.items():
            tools.add_metric(list(key), count)
        tool_seconds = histogram(metrics.TOOL_SECONDS)
        for tool, spent in self._tool_seconds.items():
            tool_seconds.add_metric([tool], spent.buckets(), spent.total_s)
        yield from (requests, tokens, estimated, seconds, ttft, refusals, tools, tool_seconds)
        yield from self._gauges()


class Scraped(Collector):
    """A collector of what is known elsewhere."""

    def __init__(self, families: Callable[[], Iterable[Family]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        """Prometheus: what `families` says."""
        yield from self._families()


def gauge(metric: metrics.Metric) -> GaugeMetricFamily:
    """Return an empty gauge family for `metric`."""
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def counter(metric: metrics.Metric) -> CounterMetricFamily:
    """Return an empty counter family for `metric`."""
    name = metric.name.removesuffix("_total")
    return CounterMetricFamily(name, metric.help, labels=metric.labels)


def histogram(metric: metrics.Metric) -> HistogramMetricFamily:
    """Return an empty histogram family for `metric`."""
    return HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
