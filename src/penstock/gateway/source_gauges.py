"""How sources of keys fare, for Prometheus."""

from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from penstock.gateway.meters import gauge
from penstock.ground import metrics
from penstock.registry.sources.health import SourceHealth


class SourceGauges(Collector):
    """Tells of each source whether it could be read, and when that was."""

    def __init__(self, sources: Sequence[SourceHealth]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Family]:
        """Prometheus: all families."""
        up, age = gauge(metrics.KEY_SOURCE_UP), gauge(metrics.KEY_SOURCE_AGE)
        for source in self._sources:
            up.add_metric([source.name], float(source.up))
            age.add_metric([source.name], source.age_s)
        yield from (up, age)
