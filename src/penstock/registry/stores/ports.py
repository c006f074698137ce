"""What the clerk asks of a database; apart from it, so that a gateway without one loads none."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from penstock.registry.entries import Entry
from penstock.registry.stores.changes import Changes


class LeaseId(NamedTuple):
    """One budget in one window. `scope` is `tenant:NAME` or `key:ID`, `unit` usd or tokens."""

    scope: str
    unit: str
    window: str


class Grant(NamedTuple):
    """What a gateway holds now of a budget, and what nobody holds; nano-dollars or tokens."""

    held: int
    left: int


class Accounts(Protocol):
    """Tenants and keys; `stores.accounts.AccountStore` has them in a database."""

    async def changes_since(self, version: int) -> Changes:
        """Return what was changed after `version`."""

    async def note_used(self, used_s: Mapping[str, float]) -> None:
        """Keep when keys were last used."""


class Books(Protocol):
    """Ledger and leases; `stores.books.BookStore` has them in a database and explains them."""

    async def write(
        self, entries: Sequence[Entry], replica: str, held: Mapping[LeaseId, int], *, again: bool
    ) -> None:
        """Write entries and set what `replica` holds."""

    async def lease(
        self, lease: LeaseId, replica: str, wanted: tuple[int, int], cap: int
    ) -> Grant:
        """Let `replica` hold more, if the budget allows it."""

    async def give_back(self, replica: str, held: Mapping[LeaseId, int]) -> None:
        """Set what `replica` holds to less."""

    async def end(self, replica: str) -> None:
        """Give back all that a replica held."""
