"""One gateway process, put together from its settings.

What only some gateways need is imported where it is needed: one without a registry starts without
a database, one without tools of its own without their clients.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family
    from starlette.routing import BaseRoute

    from penstock.gateway.admission import Admission
    from penstock.gateway.charges import Charges
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.server import GatewayServer
    from penstock.gateway.settings import Settings
    from penstock.gateway.turns import Turns
    from penstock.ground.clock import Clock
    from penstock.registry.hours import Hours
    from penstock.registry.office import Office
    from penstock.registry.stores.database import Database


def run_gateway(settings_place: str) -> int:
    """Serve a gateway until it is told to stop; returns the exit code.

    `settings_place` is a path, or `s3://BUCKET/KEY`. `PENSTOCK_LISTEN` (`host:port`) goes before
    what the settings say.
    """
    from penstock.gateway.settings import listening_at
    from penstock.ground.garbage import settle_garbage
    from penstock.wiring.settings_place import read_from

    settings = read_from(settings_place)
    if place := os.environ.get("PENSTOCK_LISTEN"):
        settings = listening_at(settings, place)
    server = make_gateway(settings)
    settle_garbage()
    return 0 if server.run() else 1


def make_gateway(settings: Settings) -> GatewayServer:
    """Put a gateway together; nothing is connected to yet, and nobody listens."""
    from prometheus_client import CollectorRegistry

    from penstock.gateway.answer import Doors
    from penstock.gateway.app import Cold
    from penstock.gateway.charges import Charges
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.front import HOT_PATHS, Front
    from penstock.gateway.invoke import Invoker
    from penstock.gateway.mcp_server import McpServer
    from penstock.gateway.meters import Meters
    from penstock.gateway.server import GatewayServer
    from penstock.wiring.auditing import open_audit
    from penstock.wiring.batches import open_batches, upload_settings
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
    database, wall = _database(settings)
    admission, limits = open_admission(settings, fleet, registry, wall)
    sources = open_key_sources(settings.key_sources, admission, registry, wall)
    office = _office(settings, admission, fleet, registry, (database, wall)) if database else None
    tracing = open_tracing(settings.tracing)
    charges = Charges(meters, office.clerk if office else None, wall=wall, tracer=tracing)
    ways = open_ways(settings, admission, fleet, charges, registry)
    scribe = office.clerk.scribe if office else None
    audit = open_audit(settings, charges, fleet, registry, scribe)
    toolboxes, turns = open_tools(settings, charges, office.approvals if office else None)
    mcp = McpServer(admission, toolboxes, charges, turns.bounds)
    cache = open_cache(settings, meters, registry, wall)
    front = Front(admission, charges, turns, cache, ways)
    own = _registry_routes(office, admission, charges, turns, fleet)
    batches, batch_routes = open_batches(settings, office, (front, admission, fleet), registry)
    cold = Cold(
        admission=admission,
        fleet=fleet,
        turns=turns,
        invoker=Invoker(admission, charges, turns, ways),
        meters=meters,
        metrics=registry,
        started_s=int(wall()),
        request_timeout_s=settings.request_timeout_s,
        metrics_open=settings.metrics_open,
        further=(mcp.route(), *batch_routes, *own),
    )
    parts = (endpoints, audit, office, *sources, toolboxes, *limits, cache, tracing, batches)
    doors = Doors(HOT_PATHS, front.begin, meters.refuse, upload_settings(settings))
    server = GatewayServer(settings, doors, cold.app(), fleet, [p for p in parts if p is not None])
    return server


def _database(settings: Settings) -> tuple[Database | None, Clock]:
    """Return the registry's database, if there is one, and the time of day that counts.

    That is the database's, but for a file's: it has no clock but this machine's.
    """
    if settings.registry is None:
        return None, time.time
    from penstock.registry.wall import SharedWall
    from penstock.wiring.scribe import open_database

    database = open_database(settings)
    return database, time.time if database.is_sqlite else SharedWall(database)


def _gauges(fleet: Fleet, connections: int) -> list[Family]:
    from penstock.gateway.meters import gauge
    from penstock.ground import metrics

    open_ones = gauge(metrics.CONNECTIONS)
    open_ones.add_metric([], connections)
    return [*fleet.gauges(), open_ones]


def _office(
    settings: Settings,
    admission: Admission,
    fleet: Fleet,
    registry: CollectorRegistry,
    kept: tuple[Database, Clock],
) -> Office:
    """Put the registry's part of a gateway together over `kept`, which is not touched yet."""
    import secrets
    import socket

    from penstock.gateway.ledger_gauges import LedgerGauges
    from penstock.registry.clerk import Clerk
    from penstock.registry.office import Office
    from penstock.registry.slots import Owner, SlotFile
    from penstock.registry.stores.accounts import AccountStore
    from penstock.registry.stores.approvals import ApprovalStore
    from penstock.registry.stores.usage import UsageStore
    from penstock.registry.wall import SharedWall
    from penstock.wiring.scribe import open_books, open_scribe

    told = settings.registry
    assert told is not None  # noqa: S101 - asked for only where there is one
    database, wall = kept
    folder = Path(told.folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The thread of SQLite's driver waits this long for a busy event loop, at every step it takes.
    sys.setswitchinterval(0.0005)
    replica = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
    slots = SlotFile(folder / f"{replica}.slots", Owner(replica, fleet.names))
    accounts = AccountStore(database, wall)
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
    office = Office(
        database,
        accounts,
        books,
        UsageStore(database),
        ApprovalStore(database, wall),
        clerk,
        [tenant.record() for tenant in settings.tenants],
        [key.record(told.stack) for key in settings.keys],
        _hours(settings, fleet, replica, kept),
        told.stack,
        wall if isinstance(wall, SharedWall) else None,
    )
    registry.register(LedgerGauges(office, admission.purses, wall=wall))
    return office


def _hours(
    settings: Settings, fleet: Fleet, replica: str, kept: tuple[Database, Clock]
) -> Hours | None:
    from penstock.registry.hours import Hours
    from penstock.registry.stores.hours import HourStore
    from penstock.wiring.prices import hour_prices

    database, wall = kept
    prices = hour_prices(settings.engines, settings.models)
    if not prices:
        return None
    return Hours(HourStore(database), prices, replica, running=fleet.up, wall=wall)


def _registry_routes(
    office: Office | None, admission: Admission, charges: Charges, turns: Turns, fleet: Fleet
) -> tuple[BaseRoute, ...]:
    if office is None:
        return ()
    from penstock.gateway.admin import Admin
    from penstock.gateway.usage import OwnUsage

    own = OwnUsage(admission, office.usage, office.books, charges.wall)
    admin = Admin(admission, office, turns.unknown, fleet, charges.audit, charges.wall)
    return (own.route(), *admin.routes())
