"""What a stack costs: every part by the hour and the month, and what a token comes to.

A month has 730 hours. Parts that run only while there is load (`on_demand`) are counted for the
hours of the day that the load lasts; all others run always. Amounts are sums of their parts,
never figures of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from penstock.catalog.records import Dated

HOURS_PER_MONTH = 730.0
UNCHECKED_SPREAD = 0.2
"""How far, as a share, a price may be off that nobody compared with its source."""


@dataclass(frozen=True, slots=True)
class Item:
    """One part of the bill: `quantity` of something at `usd` each an hour.

    `note` says what is odd about the price; `checked` whether it was compared with its source.
    """

    name: str
    quantity: float
    usd: float
    dated: Dated
    checked: bool
    on_demand: bool = False
    note: str = ""

    @property
    def usd_per_hour(self) -> float:
        """USD an hour while it runs."""
        return self.quantity * self.usd


@dataclass(frozen=True, slots=True)
class Bill:
    """All parts, with the hours a day that the load lasts."""

    items: tuple[Item, ...]
    hours_per_day: float = 24

    @property
    def usd_per_hour(self) -> float:
        """USD an hour while everything runs."""
        return sum(item.usd_per_hour for item in self.items)

    @property
    def usd_per_month(self) -> float:
        """USD in a month of 730 hours."""
        return sum(self.month(item) for item in self.items)

    @property
    def spread(self) -> tuple[float, float]:
        """USD a month at the least and at the most: unchecked prices may be off."""
        off = sum(self.month(item) for item in self.unchecked) * UNCHECKED_SPREAD
        return self.usd_per_month - off, self.usd_per_month + off

    @property
    def is_doubtful(self) -> bool:
        """Whether unchecked prices may move the month by more than a hundredth."""
        least, most = self.spread
        return most > least * 1.01

    @property
    def unchecked(self) -> tuple[Item, ...]:
        """The parts whose price nobody compared with its source."""
        return tuple(item for item in self.items if not item.checked)

    def month(self, item: Item) -> float:
        """What one part costs in a month."""
        share = self.hours_per_day / 24 if item.on_demand else 1.0
        return item.usd_per_hour * HOURS_PER_MONTH * share

    def per_thousand_requests(self, requests_per_minute: float) -> float:
        """USD for 1,000 requests at that rate for the hours a day that the load lasts."""
        requests = requests_per_minute * 60 * HOURS_PER_MONTH * self.hours_per_day / 24
        return self.usd_per_month / requests * 1e3

    def per_million_tokens(self, requests_per_minute: float, tokens: float) -> float:
        """USD for a million tokens, prompt and answer together, `tokens` of them a request."""
        return self.per_thousand_requests(requests_per_minute) / tokens * 1e3

    def stale(self, today: date) -> tuple[Item, ...]:
        """The parts whose price is older than 90 days."""
        return tuple(item for item in self.items if item.dated.is_stale(today))


@dataclass(frozen=True, slots=True)
class Terms:
    """How machines are bought, as shares: how many on spot, what spot and a savings plan save."""

    spot_share: float = 0.0
    spot_saving: float = 0.0
    savings_plan: float = 0.0


def mixed_price(usd_per_hour: float, terms: Terms) -> float:
    """Mean price of a machine; a savings plan applies to what does not run on spot."""
    spot = terms.spot_share * (1 - terms.spot_saving)
    return usd_per_hour * (spot + (1 - terms.spot_share) * (1 - terms.savings_plan))


def endpoints_against_adapters(customers: int, endpoint_usd: float) -> tuple[float, float, float]:
    """N customers on an endpoint each, on one endpoint with N adapters, and the share saved."""
    apart = customers * endpoint_usd
    return apart, endpoint_usd, 1 - endpoint_usd / apart


def tiered_routing(tiers: Iterable[tuple[float, float]]) -> tuple[float, float, float]:
    """Cost of a request on the dearest tier, its mean over all tiers, and the share saved.

    `tiers` are (share of requests, cost of a request on that tier); shares sum to 1.

    Raises:
        ValueError: the shares do not sum to 1.
    """
    known = tuple(tiers)
    if abs(sum(share for share, _ in known) - 1) > 1e-6:
        raise ValueError("the shares of the tiers do not sum to 1")
    dearest = max(cost for _, cost in known)
    mixed = sum(share * cost for share, cost in known)
    return dearest, mixed, 1 - mixed / dearest


def always_on_against_on_demand(
    usd_per_hour: float, hours_per_day: float
) -> tuple[float, float, float]:
    """USD a month always on, USD a month for `hours_per_day`, and the share saved."""
    always = usd_per_hour * HOURS_PER_MONTH
    some = always * hours_per_day / 24
    return always, some, 1 - some / always
