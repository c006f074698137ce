"""One gateway process, put together from its settings.

What only some gateways need is imported where it is needed: one without a registry starts without
a database, one without tools of its own without their clients.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family
    from starlette.routing import BaseRoute

    from penstock.gateway.admission import Admission
    from penstock.gateway.charges import Charges
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.server import GatewayServer
    from penstock.gateway.settings import Settings
    from penstock.gateway.turns import Turns
    from penstock.registry.office import Office


def run_gateway(settings_place: str) -> int:
    """Serve a gateway until it is told to stop; returns the exit code.

    `settings_place` is a path, or `s3://BUCKET/KEY`. `PENSTOCK_LISTEN` (`host:port`) goes before
    what the settings say.
    """
    from penstock.gateway.settings import listening_at
    from penstock.wiring.settings_place import read_from

    settings = read_from(settings_place)
    if place := os.environ.get("PENSTOCK_LISTEN"):
        settings = listening_at(settings, place)
    server = make_gateway(settings)
    _settle_garbage()
    return 0 if server.run() else 1


def make_gateway(settings: Settings) -> GatewayServer:
    """Put a gateway together; nothing is connected to yet, and nobody listens."""
    from prometheus_client import CollectorRegistry

    from penstock.gateway.app import Cold
    from penstock.gateway.charges import Charges
    from penstock.gateway.doorway import Doors
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.front import HOT_PATHS, Front
    from penstock.gateway.invoke import Invoker
    from penstock.gateway.mcp_server import McpServer
    from penstock.gateway.meters import Meters
    from penstock.gateway.server import GatewayServer
    from penstock.wiring.auditing import open_audit
    from penstock.wiring.caching import open_cache
    from penstock.wiring.identity import open_key_sources
    from penstock.wiring.limits import open_admission
    from penstock.wiring.routing import open_ways
    from penstock.wiring.sagemaker import open_endpoints, with_addresses
    from penstock.wiring.tools import open_tools
    from penstock.wiring.tracing import open_tracing

    settings = with_addresses(settings)
    fleet = Fleet(settings.engines, settings.breaker)
    endpoints = open_endpoints(fleet)
    meters = Meters(lambda: _gauges(fleet, server.connections))
    registry = CollectorRegistry()
    registry.register(meters)
    admission, limits = open_admission(settings, fleet, registry)
    sources = open_key_sources(settings.key_sources, admission, registry)
    office = _office(settings, admission, fleet) if settings.registry else None
    tracing = open_tracing(settings.tracing)
    charges = Charges(meters, office.clerk if office else None, tracer=tracing)
    ways = open_ways(settings, admission, fleet, charges, registry)
    scribe = office.clerk.scribe if office else None
    audit = open_audit(settings, charges, fleet, registry, scribe)
    toolboxes, turns = open_tools(settings, charges, office.approvals if office else None)
    mcp = McpServer(admission, toolboxes, charges, turns.bounds)
    cold = Cold(
        admission=admission,
        fleet=fleet,
        turns=turns,
        invoker=Invoker(admission, charges, turns, ways),
        meters=meters,
        metrics=registry,
        started_s=int(time.time()),
        request_timeout_s=settings.request_timeout_s,
        metrics_open=settings.metrics_open,
        further=(mcp.route(), *_registry_routes(office, admission, charges, turns, fleet)),
    )
    cache = open_cache(settings, meters, registry)
    front = Front(admission, charges, turns, cache, ways)
    parts = (endpoints, audit, office, *sources, toolboxes, *limits, cache, tracing)
    backgrounds = [each for each in parts if each is not None]
    doors = Doors(HOT_PATHS, front.begin, meters.refuse)
    server = GatewayServer(settings, doors, cold.app(), fleet, backgrounds)
    return server


def _gauges(fleet: Fleet, connections: int) -> list[Family]:
    from penstock.gateway.meters import gauge
    from penstock.ground import metrics

    open_ones = gauge(metrics.CONNECTIONS)
    open_ones.add_metric([], connections)
    return [*fleet.gauges(), open_ones]


def _settle_garbage() -> None:
    """What was imported stays; requests leave no cycles, so looking for some rarely pays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _office(settings: Settings, admission: Admission, fleet: Fleet) -> Office:
    """Put the registry's part of a gateway together; the database is not touched yet."""
    import secrets
    import socket

    from penstock.registry.clerk import Clerk
    from penstock.registry.hours import Hours
    from penstock.registry.office import Office
    from penstock.registry.slots import Owner, SlotFile
    from penstock.registry.stores.accounts import AccountStore
    from penstock.registry.stores.approvals import ApprovalStore
    from penstock.registry.stores.hours import HourStore
    from penstock.registry.stores.usage import UsageStore
    from penstock.wiring.prices import hour_prices
    from penstock.wiring.scribe import open_books, open_database, open_scribe

    told = settings.registry
    assert told is not None  # noqa: S101 - asked for only where there is one
    database = open_database(settings)
    folder = Path(told.folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The thread of SQLite's driver waits this long for a busy event loop, at every step it takes.
    sys.setswitchinterval(0.0005)
    replica = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
    slots = SlotFile(folder / f"{replica}.slots", Owner(replica, fleet.names))
    prices = hour_prices(settings.engines, settings.models)
    accounts = AccountStore(database)
    books = open_books(settings, database)
    scribe, undertaker = open_scribe(settings, slots, books)
    clerk = Clerk(
        accounts,
        books,
        slots,
        on_changes=admission.learn,
        purses=admission.purses,
        clock=time.monotonic,
        scribe=scribe,
        undertaker=undertaker,
    )
    return Office(
        database,
        accounts,
        books,
        UsageStore(database),
        ApprovalStore(database),
        clerk,
        [tenant.record() for tenant in settings.tenants],
        [key.record() for key in settings.keys],
        Hours(HourStore(database), prices, replica, running=fleet.up) if prices else None,
    )


def _registry_routes(
    office: Office | None, admission: Admission, charges: Charges, turns: Turns, fleet: Fleet
) -> tuple[BaseRoute, ...]:
    if office is None:
        return ()
    from penstock.gateway.admin import Admin
    from penstock.gateway.usage import OwnUsage

    own = OwnUsage(admission, office.usage, office.books)
    admin = Admin(admission, office, turns.unknown, fleet, charges.audit)
    return (own.route(), *admin.routes())
