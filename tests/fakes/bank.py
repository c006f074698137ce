"""Gateways without HTTP: charges, slots and clerk over one database, each to be killed at will."""

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.metrics_core import Metric

from penstock.gateway.admission import Route
from penstock.gateway.caller import Account, Caller
from penstock.gateway.charges import Charge, Charges
from penstock.gateway.demand import Demand
from penstock.gateway.meters import Meters
from penstock.gateway.till import Short
from penstock.ground.clock import Clock
from penstock.registry.clerk import Clerk
from penstock.registry.gate import Gate
from penstock.registry.purse import Purse
from penstock.registry.records import Budgets, KeyRecord, Limits, Policy, Price, TenantRecord
from penstock.registry.slots import Owner, SlotFile
from penstock.registry.stores.accounts import AccountStore
from penstock.registry.stores.books import BookStore
from penstock.registry.stores.database import Database

PRICE = Price.per_million(1.0, 0.5, 2.0)
_numbers = itertools.count(1)


def no_gauges() -> list[Metric]:
    return []


def make_caller(
    budgets: Budgets, limits: Limits, *, clock: Clock, wall: Clock
) -> tuple[Caller, tuple[Account, ...]]:
    """A key of tenant `org-a`, whose budgets and limits are these."""
    policy = Policy(("*",), (), limits, budgets)
    accounts = (
        Account("tenant:org-a", policy, Gate(limits, clock=clock, wall=wall), wall),
        Account("key:key-1", Policy(), Gate(Limits(), clock=clock, wall=wall), wall),
    )
    key = KeyRecord("key-1", "", "", "org-a")
    return Caller(key, TenantRecord("org-a", policy), accounts), accounts


@dataclass
class Branch:
    """One gateway of the bank."""

    charges: Charges
    clerk: Clerk
    caller: Caller
    route: Route

    async def open(self, demand: Demand) -> Charge:
        """Open a charge; waits for leases as a gateway does.

        Raises as `Charges.open` does.
        """
        request_id = f"req-{next(_numbers)}".encode()
        for _ in range(4):
            try:
                return self.charges.open(self.caller, self.route, request_id, demand)
            except Short as short:
                self.clerk.ask_for(short.purse, short.amount)
                await self.clerk.step()
        raise AssertionError("it never became clear whether the budget reaches")

    def kill(self) -> None:
        """Die at once: the lock goes, the file stays."""
        self.clerk.slots.let_go()


def make_branch(
    database: Database,
    folder: Path,
    name: str,
    budgets: Budgets,
    *,
    limits: Limits = Limits(),  # noqa: B008  it is frozen
    clock: Clock = time.monotonic,
    wall: Clock = time.time,
) -> Branch:
    """Open a gateway of the bank."""
    caller, accounts = make_caller(budgets, limits, clock=clock, wall=wall)
    slots = SlotFile(folder / f"{name}.slots", Owner(name, ("engine",)))

    def purses() -> list[Purse]:
        return [purse for a in accounts for purse in (*a.purses.now, *a.purses.retired)]

    clerk = Clerk(
        AccountStore(database, wall),
        BookStore(database),
        slots,
        on_changes=lambda changes: None,
        purses=purses,
        clock=clock,
    )
    charges = Charges(Meters(no_gauges), clerk, clock=clock, wall=wall)
    route = Route("model", (), PRICE, 4096, None, b"model\0")
    return Branch(charges, clerk, caller, route)
