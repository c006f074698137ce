"""Gateways with a registry, started as processes of their own, several over one database."""

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.gateway.gateway_process import GatewayProcess, settings_for

from penstock.gateway.settings import ModelSettings, RegistrySettings, Settings
from penstock.registry.records import Budgets, Price

ADMIN = "ps-admin-secret"
PRICE = Price.per_million(1.0, 0.5, 2.0)


def registry_settings(
    engines: Mapping[str, str], folder: Path, database: str, *, bob: Budgets | None = None
) -> Settings:
    """Settings with a ledger in `database` and slot files in `folder`."""
    plain = settings_for(
        engines,
        registry=RegistrySettings(str(folder), database),
        admin=hashlib.sha256(ADMIN.encode()).hexdigest(),
        models=(
            ModelSettings("scripted", tuple(engines), context=2048, price=PRICE),
            ModelSettings("org-a", tuple(engines), parent="scripted", context=2048, price=PRICE),
        ),
    )
    tenants = tuple(
        msgspec.structs.replace(tenant, budgets=bob) if bob and tenant.name == "bob" else tenant
        for tenant in plain.tenants
    )
    return msgspec.structs.replace(plain, tenants=tenants)


def admin(
    gateway: GatewayProcess, method: str, path: str, body: object = None, *, key: str = ADMIN
) -> httpx.Response:
    """Ask the admin API."""
    content = None if body is None else msgspec.json.encode(body)
    headers = {"authorization": f"Bearer {key}"}
    return httpx.request(
        method, f"{gateway.url}/admin{path}", content=content, headers=headers, timeout=60
    )


def entries(gateway: GatewayProcess) -> dict[str, dict[str, Any]]:
    """Every entry of the ledger by request id."""
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        page = admin(gateway, "GET", f"/usage/entries?{after}").json()
        for row in page["data"]:
            assert row["request_id"] not in found
            found[row["request_id"]] = row
        if page["next"] is None:
            return found
        after = f"after={page['next']}"


def entries_when(
    gateway: GatewayProcess,
    true: Callable[[dict[str, dict[str, Any]]], bool],
    within_s: float = 60,
) -> dict[str, dict[str, Any]]:
    """The ledger's entries, once `true` holds for them."""
    deadline = time.monotonic() + within_s
    while not true(found := entries(gateway)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found
