"""Who a key belongs to and what it may do, as the hot path sees it."""

import math

from penstock.gateway.meters import Meter
from penstock.ground.clock import Clock
from penstock.registry.gate import Gate
from penstock.registry.purse import Purses
from penstock.registry.records import KeyRecord, Limits, Policy, TenantRecord


class Account:
    """The limits and budgets of one scope (`tenant:NAME`, `key:ID`); it outlives changes."""

    __slots__ = ("aside", "budgets", "gate", "purses", "scope")

    def __init__(self, scope: str, policy: Policy, gate: Gate, wall: Clock) -> None:
        self.scope = scope
        self.budgets = policy.budgets
        self.gate = gate
        self.aside: Gate | None = None
        """Counts what asks no model, from the first such request on."""
        self.purses = Purses(scope, policy.budgets, wall)

    def change(self, policy: Policy) -> None:
        """Take new limits and budgets; what was used stays used."""
        self.budgets = policy.budgets
        self.gate.change(policy.limits)
        self.purses.change(policy.budgets)


class Desk:
    """What all requests of one caller to one model have in common, put together once."""

    __slots__ = ("gates", "identity", "meter", "openings", "route")

    def __init__(
        self, route: object, gates: tuple[Gate, ...], meter: Meter, identity: bytes
    ) -> None:
        """`route` is the `admission.Route` that it is for; `identity` is what stands behind the
        request's own in a slot."""
        self.route, self.gates, self.meter, self.identity = route, gates, meter, identity
        self.openings: dict[bytes, bytes] = {}
        """How such a slot begins, by the path that was asked for; see `slots.opening_of`."""


class Caller:
    """One key: its tenant's name and rights, narrowed by its own."""

    __slots__ = (
        "_models",
        "accounts",
        "desks",
        "ends_s",
        "gates",
        "identity",
        "key_id",
        "max_tokens",
        "name",
        "purses",
        "share",
        "tools",
    )

    def __init__(
        self, key: KeyRecord, tenant: TenantRecord, accounts: tuple[Account, ...]
    ) -> None:
        """`accounts`: the tenant's, and the key's own."""
        self.name, self.key_id = tenant.name, key.id
        self._models = _both(tenant.policy.models, key.policy.models)
        tools, own = tenant.policy.tools or (), key.policy.tools
        self.tools = tuple(tool for tool in tools if own is None or tool in own)
        self.accounts = accounts
        self.share = tenant.policy.share
        self.gates = tuple(a.gate for a in accounts if a.gate.limits != _NO_LIMITS)
        self.purses = tuple(a.purses for a in accounts if a.purses.is_needed)
        bounds = [a.gate.limits.max_tokens for a in accounts]
        self.max_tokens = min((b for b in bounds if b is not None), default=None)
        self.ends_s = math.inf if key.expires_s is None else key.expires_s
        if not key.opens_at(0.0) or tenant.disabled:
            self.ends_s = 0.0
        self.desks: dict[str, Desk] = {}
        """By model."""
        self.identity = f"\0{tenant.name}\0{key.id}\0".encode()

    def may_use(self, model: str) -> bool:
        """Whether this key may ask for `model`."""
        return not self._models or all(model in models for models in self._models)


_NO_LIMITS = Limits()


def _both(
    tenant: tuple[str, ...] | None, key: tuple[str, ...] | None
) -> tuple[frozenset[str], ...]:
    given = [names for names in (tenant, key) if names is not None]
    return tuple(frozenset(names) for names in given if "*" not in names)
