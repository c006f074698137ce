"""Who is let in, and when: limits, of this gateway or of all together, and the queue."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

    from penstock.gateway.admission import Admission
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.server import Background
    from penstock.gateway.settings import RegistrySettings, Settings
    from penstock.ground.clock import Clock
    from penstock.registry.counters.exchange import Counters


def open_admission(
    settings: Settings, fleet: Fleet, registry: CollectorRegistry, wall: Clock
) -> tuple[Admission, list[Background]]:
    """Return the admission, and what runs beside it; `registry` gets their metrics.

    Raises:
        UserError: there is no server to count at, or no client for it.
    """
    from penstock.gateway.admission import Admission
    from penstock.gateway.meters import Scraped

    backgrounds: list[Background] = []
    gates = queue = None
    if settings.registry is not None and settings.registry.counters_env is not None:
        from penstock.registry.shared_gate import SharedGate

        counters = _counters(settings.registry, wall)
        backgrounds.append(counters)
        registry.register(Scraped(partial(_families, counters)))
        gates = partial(SharedGate, counters)
    if settings.queue is not None:
        from penstock.gateway.queueing import Lines

        lines = Lines(settings.queue)
        backgrounds.append(lines)
        registry.register(Scraped(lines.families))
        queue = lines.of
    admission = Admission(
        settings, fleet, clock=time.monotonic, wall=wall, lines=queue, gates=gates
    )
    return admission, backgrounds


def _counters(told: RegistrySettings, wall: Clock) -> Counters:
    import secrets

    from penstock.ground.errors import UserError
    from penstock.registry.counters.exchange import Counters

    try:
        from penstock.registry.counters.valkey import ValkeyServer
    except ImportError:
        raise UserError(
            "limits of several gateways need a client for Valkey",
            fix="Install it: pip install 'penstock[valkey]'",
        ) from None
    url = os.environ.get(told.counters_env or "")
    if not url:
        raise UserError("the counters have no server", fix=f"Set the variable {told.counters_env}")
    return Counters(ValkeyServer(url, told.space), secrets.token_hex(8), wall=wall)


def _families(counters: Counters) -> Iterator[Family]:
    from penstock.gateway.meters import gauge
    from penstock.ground import metrics

    up = gauge(metrics.COUNTERS_UP)
    up.add_metric([], float(counters.online))
    yield up
