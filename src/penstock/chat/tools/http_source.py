"""A source of HTTP operations."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import httpx

from penstock.chat.ports import Tool
from penstock.chat.sources import TenantSource
from penstock.chat.tools.described import SourceSettings
from penstock.chat.tools.egress import Egress, EgressTransport
from penstock.chat.tools.handing_out import (
    awaiting,
    check_approve,
    check_secrets,
    credentials,
    fenced,
    secret_of,
)
from penstock.chat.tools.http_tool import Access, HttpTool

_TIMEOUT_S = 30.0


def egress_of(told: SourceSettings, url: str) -> Egress:
    """Return what the source may connect to: the host of `url`, and those it lists."""
    return Egress((urlsplit(url).hostname or "", *told.hosts), told.private)


def make_source(told: SourceSettings, environment: Mapping[str, str]) -> TenantSource:
    """Return the source; its tenants share connections and nothing else.

    Raises:
        UserError: a credential is missing.
    """
    url = told.url or ""
    check_secrets(told, environment)
    check_approve(told, [each.name for each in told.operations])
    client = httpx.AsyncClient(
        transport=EgressTransport(egress_of(told, url)),
        timeout=_TIMEOUT_S,
        trust_env=False,
    )

    def make(tenant: str) -> Sequence[Tool]:
        headers = credentials(told, secret_of(told, tenant, environment))
        access = Access(client, url, headers)
        return fenced(told, tenant, [HttpTool(each, access) for each in told.operations])

    return TenantSource(told.name, make, awaiting(told))
