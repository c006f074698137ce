"""What is new in the registry; apart from the tables, so that it is had without a database."""

from dataclasses import dataclass

from penstock.registry.records import KeyRecord, TenantRecord


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new since the version that was asked for."""

    version: int
    tenants: tuple[TenantRecord, ...] = ()
    keys: tuple[KeyRecord, ...] = ()
