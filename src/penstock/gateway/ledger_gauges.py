"""How the ledger fares, and which budgets are nearly used up, for Prometheus."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from penstock.gateway.meters import gauge
from penstock.ground import metrics
from penstock.ground.clock import Clock
from penstock.registry.office import Office
from penstock.registry.purse import Purse, window_ends_s


class LedgerGauges(Collector):
    """Tells what waits for the ledger, whether it can be written, and which budgets alarm."""

    def __init__(
        self, office: Office, purses: Callable[[], Iterable[Purse]], *, wall: Clock
    ) -> None:
        """`purses` gives all that there are, old ones too."""
        self._clerk, self._shared = office.clerk, office.wall
        self._purses, self._wall = purses, wall

    def collect(self) -> Iterator[Family]:
        """Prometheus: all families."""
        clerk = self._clerk
        levels = (
            (metrics.LEDGER_UP, float(not clerk.behind)),
            (metrics.LEDGER_WAITING, clerk.waiting),
            (metrics.LEDGER_ROOM, clerk.slots.room),
            (metrics.CLOCK_AHEAD, self._shared.ahead_s if self._shared is not None else 0.0),
        )
        for metric, value in levels:
            level = gauge(metric)
            level.add_metric([], value)
            yield level
        used, now_s = gauge(metrics.BUDGET_USED), self._wall()
        for purse in self._purses():
            lease = purse.lease
            if purse.is_alarming and now_s < window_ends_s(lease.window):
                share = purse.committed / purse.cap if purse.cap else 1.0
                used.add_metric([lease.scope, lease.unit, lease.window], share)
        yield used
