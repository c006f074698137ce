"""What the registry knows of tenants and keys: plain data, the same in file, database and memory.

Amounts of money are whole nano-dollars and prices whole pico-dollars a token, so that sums are
exact and the same on every machine.
"""

import re
import time
from typing import Literal

import msgspec

NANO, PICO = 10**9, 10**12

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What a tenant may be called, whole: it stands in addresses, metrics and file names."""

Source = Literal["manifest", "admin", "aws", "oidc"]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much at a time; none is no limit. The day is UTC's."""

    requests_per_second: float | None = None
    burst: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    max_tokens: int | None = None
    """Longest answer one request may ask for, tokens."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"`{name}` must be above 0")


class Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much in a UTC day and month; none is no bound. `alarm` is the share that is told of."""

    usd_per_day: float | None = None
    usd_per_month: float | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    alarm: float = 0.8

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"`{name}` must not be below 0")


Priority = Literal["low", "normal", "high"]
PRIORITIES: tuple[Priority, ...] = ("low", "normal", "high")


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a tenant stands in the queue when engines are full; a key has that of its tenant."""

    weight: float = 1.0
    priority: Priority = "normal"

    def __post_init__(self) -> None:
        if not 0.01 <= self.weight <= 100:
            raise ValueError("`weight` must be from 0.01 to 100")


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What may be used, and how much. `models` none: of a key, all that its tenant may use."""

    models: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    limits: Limits = Limits()
    budgets: Budgets = Budgets()
    share: Share = Share()


# There may be a hundred thousand of the following two: without `gc=False` the collector, which can
# find nothing in them, would take longer than reading them from the database.


class TenantRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One customer."""

    name: str
    policy: Policy = Policy(models=("*",), tools=())
    disabled: bool = False
    source: Source = "admin"
    created_s: float = 0.0


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One key: never the secret itself, only its digest and its visible beginning.

    An admin key has no tenant: it opens the admin API and nothing else.
    """

    id: str
    digest: str
    hint: str
    tenant: str | None
    label: str = ""
    policy: Policy = Policy()
    expires_s: float | None = None
    disabled: bool = False
    revoked_s: float | None = None
    source: Source = "admin"
    created_s: float = 0.0
    last_used_s: float | None = None

    @property
    def is_admin(self) -> bool:
        """Whether it opens the admin API, and only that."""
        return self.tenant is None

    def opens_at(self, now_s: float) -> bool:
        """Whether it still opens anything at `now_s`, a Unix time."""
        if self.disabled or self.revoked_s is not None:
            return False
        return self.expires_s is None or now_s < self.expires_s


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token costs, pico-dollars; `pricing.py` reckons with it."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    from_cache: float = 0.0
    """Share of the price that an answer from the response cache costs, 0 to 1."""

    @staticmethod
    def per_million(prompt: float, cached: float | None, completion: float) -> "Price":
        """Make one from dollars a million tokens; cached tokens cost as others unless told."""
        each = [round(usd * 1_000_000) for usd in (prompt, cached or 0.0, completion)]
        return Price(each[0], each[0] if cached is None else each[1], each[2])


def windows_of(now_s: float) -> tuple[str, str]:
    """Return the UTC day and month of a Unix time: `2026-11-21`, `2026-11`."""
    day = time.strftime("%Y-%m-%d", time.gmtime(now_s))
    return day, day[:7]
