"""What the admin API is sent and what it shows."""

import msgspec
from msgspec import UNSET, UnsetType

from penstock.registry.records import Budgets, KeyRecord, Limits, Share, TenantRecord


class NewLimits(Limits, frozen=True, forbid_unknown_fields=True):
    """Limits of a tenant to be made: what is not given is as in a manifest, null is no limit."""

    requests_per_second: float | None = 50
    burst: int | None = 100
    requests_per_day: int | None = 10_000

    def as_limits(self) -> Limits:
        """Return them as they are kept."""
        return Limits(**msgspec.structs.asdict(self))


class NewTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant to be made."""

    name: str
    models: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ()
    limits: NewLimits = NewLimits()
    budgets: Budgets = Budgets()
    share: Share = Share()


class TenantChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is given is changed."""

    models: tuple[str, ...] | UnsetType = UNSET
    tools: tuple[str, ...] | UnsetType = UNSET
    limits: Limits | UnsetType = UNSET
    budgets: Budgets | UnsetType = UNSET
    share: Share | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made. Without a tenant and with `admin`, it opens this API."""

    tenant: str | None = None
    admin: bool = False
    label: str = ""
    models: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    limits: Limits = Limits()
    budgets: Budgets = Budgets()
    expires_in_s: float | None = None


class KeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is given is changed; `expires_in_s: null` takes the end away."""

    label: str | UnsetType = UNSET
    models: tuple[str, ...] | UnsetType | None = UNSET
    tools: tuple[str, ...] | UnsetType | None = UNSET
    limits: Limits | UnsetType = UNSET
    budgets: Budgets | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    expires_in_s: float | UnsetType | None = UNSET


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the old key still works beside the new one, seconds."""

    overlap_s: float = 86_400.0


def tenant_shown(tenant: TenantRecord) -> dict[str, object]:
    """Return a tenant as the API shows it."""
    policy = tenant.policy
    return {
        "name": tenant.name,
        "models": policy.models,
        "tools": policy.tools,
        "limits": policy.limits,
        "budgets": policy.budgets,
        "share": policy.share,
        "disabled": tenant.disabled,
        "source": tenant.source,
        "created_s": tenant.created_s,
    }


def key_shown(key: KeyRecord, now_s: float) -> dict[str, object]:
    """Return a key as the API shows it: never its digest."""
    policy = key.policy
    return {
        "id": key.id,
        "prefix": key.hint,
        "tenant": key.tenant,
        "admin": key.is_admin,
        "label": key.label,
        "models": policy.models,
        "tools": policy.tools,
        "limits": policy.limits,
        "budgets": policy.budgets,
        "state": _state(key, now_s),
        "expires_s": key.expires_s,
        "source": key.source,
        "created_s": key.created_s,
        "last_used_s": key.last_used_s,
    }


def _state(key: KeyRecord, now_s: float) -> str:
    if key.revoked_s is not None:
        return "revoked"
    if key.disabled:
        return "disabled"
    return "active" if key.opens_at(now_s) else "expired"
