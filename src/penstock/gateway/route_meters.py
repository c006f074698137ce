"""Counts of what routing decided, for Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from penstock.ground import metrics


class RouteMeters(Collector):
    """Plain integers, read when scraped."""

    def __init__(self) -> None:
        self._routed: dict[tuple[str, str, str], int] = {}
        self._hedges: dict[tuple[str, str], int] = {}
        self._shadows: dict[tuple[str, str], int] = {}

    def routed(self, asked: str, model: str, way: str) -> None:
        """Count a request for `asked` that `model` is to answer, and what led there."""
        key = (asked, model, way)
        self._routed[key] = self._routed.get(key, 0) + 1

    def hedged(self, model: str, winner: str) -> None:
        """Count a race of two engines of `model`; `winner` is first or second."""
        self._hedges[model, winner] = self._hedges.get((model, winner), 0) + 1

    def shadowed(self, model: str, outcome: str) -> None:
        """Count a copy for `model`: complete, failed or dropped."""
        self._shadows[model, outcome] = self._shadows.get((model, outcome), 0) + 1

    def collect(self) -> Iterator[Family]:
        """Prometheus: all families."""
        for metric, counts in (
            (metrics.ROUTED, self._routed),
            (metrics.HEDGES, self._hedges),
            (metrics.SHADOWS, self._shadows),
        ):
            name = metric.name.removesuffix("_total")
            family = CounterMetricFamily(name, metric.help, labels=metric.labels)
            for labels, count in counts.items():
                family.add_metric(list(labels), count)
            yield family
