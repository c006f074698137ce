"""The only place that names concrete classes, and the only one that imports inside functions.

Everything is put together here, so that each command starts with what it needs and no more.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path


def run_gateway(settings_path: Path) -> int:
    """Serve a gateway until it is told to stop; returns the exit code."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

    from penstock.chat.tools.builtin import BuiltinSettings, builtin_tools
    from penstock.gateway.admission import Admission
    from penstock.gateway.app import Cold
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.front import Front
    from penstock.gateway.invoke import Invoker
    from penstock.gateway.meters import Meters, gauge
    from penstock.gateway.server import GatewayServer
    from penstock.gateway.settings import read_settings
    from penstock.gateway.turns import Turns
    from penstock.ground import metrics

    settings = read_settings(settings_path)
    fleet = Fleet(settings.engines)

    def gauges() -> list[Family]:
        connections = gauge(metrics.CONNECTIONS)
        connections.add_metric([], server.connections)
        return [*fleet.gauges(), connections]

    meters = Meters(gauges)
    registry = CollectorRegistry()
    registry.register(meters)
    admission = Admission(settings, fleet, meters, clock=time.monotonic, wall=time.time)
    weather = None
    if settings.tools.weather_url:
        from penstock.chat.tools.open_meteo import OpenMeteo

        weather = OpenMeteo(settings.tools.weather_url)
    tools = builtin_tools(BuiltinSettings(weather, settings.tools.database))
    turns = Turns(settings, tools, meters)
    cold = Cold(
        admission=admission,
        fleet=fleet,
        turns=turns,
        invoker=Invoker(admission, turns),
        metrics=registry,
        started_s=int(time.time()),
    )
    server = GatewayServer(settings, Front(admission, meters, turns).begin, cold.app(), fleet)
    logging.getLogger("penstock.gateway").info("listening on %s:%s", settings.host, settings.port)
    return 0 if server.run() else 1
