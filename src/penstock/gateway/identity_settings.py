"""What a gateway is told of sources of keys outside of the registry: plain data."""

import msgspec

from penstock.registry.records import Budgets, Limits


class AwsKeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where AWS Secrets Manager has the tenants' keys."""

    prefix: str
    region: str | None = None
    endpoint: str | None = None
    refresh_s: float = 60.0
    overlap_s: float = 300.0


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose tokens are taken, and what they say."""

    issuer: str
    audience: tuple[str, ...]
    jwks_url: str | None = None
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    tenant_claim: str = "tenant"
    tenants: dict[str, str] = {}
    models_claim: str | None = None
    tools_claim: str | None = None
    leeway_s: float = 30.0
    limits: Limits = Limits()
    budgets: Budgets = Budgets()


class KeySourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sources there are; none is none."""

    aws: AwsKeySettings | None = None
    oidc: OidcSettings | None = None
