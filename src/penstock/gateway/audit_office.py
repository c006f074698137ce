"""The audit's threads beside the server, and what `/metrics` tells of them."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from penstock.gateway.meters import counter, gauge
from penstock.ground import metrics
from penstock.ground.errors import MachineError
from penstock.registry.audit.archivist import Archivist
from penstock.registry.audit.shipping import Shipper
from penstock.registry.scribe import Scribe


class AuditOffice(Collector):
    """Archivist and shipper of one gateway. Satisfies `server.Background`."""

    def __init__(
        self, archivist: Archivist, shipper: Shipper | None, scribe: Scribe | None = None
    ) -> None:
        """A `scribe` writes lines, too, where they are made of slots."""
        self._archivist, self._shipper, self._scribe = archivist, shipper, scribe

    async def start(self) -> None:
        """Background: begin a chain; nothing is served where that fails.

        Raises:
            MachineError: it cannot be written.
        """
        try:
            await asyncio.to_thread(self._archivist.start)
        except OSError as error:
            raise MachineError("the audit cannot be written", why=str(error)) from None
        if self._shipper is not None:
            self._shipper.start()

    def loops(self) -> Sequence[Coroutine[object, object, None]]:
        """Background: the work is done by threads."""
        return ()

    async def stop(self) -> None:
        """Background: write and ship what is left."""
        await asyncio.to_thread(self._archivist.stop)
        if self._shipper is not None:
            await asyncio.to_thread(self._shipper.stop)

    def collect(self) -> Iterator[Family]:
        """Prometheus: how far it is."""
        archivist, shipper = self._archivist, self._shipper
        failures = {"write": archivist.failures}
        entries = counter(metrics.AUDIT_ENTRIES)
        lines = archivist.entries + (self._scribe.lines if self._scribe else 0)
        entries.add_metric([], lines)
        yield entries
        levels = {metrics.AUDIT_SPOOL: archivist.lag_bytes}
        if shipper is not None:
            failures["ship"] = shipper.failures
            levels[metrics.AUDIT_SEGMENTS] = len(shipper.waiting())
        for metric, value in levels.items():
            level = gauge(metric)
            level.add_metric([], value)
            yield level
        failed = counter(metrics.AUDIT_FAILURES)
        for step, count in failures.items():
            failed.add_metric([step], count)
        yield failed
