"""Money: sums add up, and the comparisons that people make come out as they should."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.catalog.records import Dated
from penstock.sizing.price import (
    HOURS_PER_MONTH,
    Bill,
    Item,
    Terms,
    always_on_against_on_demand,
    endpoints_against_adapters,
    mixed_price,
    tiered_routing,
)

DATED = Dated("karpenter", date(2026, 7, 20))
ITEMS = st.builds(
    Item,
    name=st.sampled_from(("machine", "gateway", "NAT")),
    quantity=st.floats(0, 100),
    usd=st.floats(0, 200),
    dated=st.just(DATED),
    checked=st.booleans(),
    on_demand=st.booleans(),
)


@given(items=st.lists(ITEMS, max_size=8), hours=st.floats(0.5, 24))
def test_sums_add_up(items: list[Item], hours: float) -> None:
    bill = Bill(tuple(items), hours)
    assert bill.usd_per_month == pytest.approx(sum(bill.month(item) for item in items))
    assert bill.usd_per_hour == pytest.approx(sum(item.quantity * item.usd for item in items))
    low, high = bill.spread
    assert low <= bill.usd_per_month <= high
    if all(item.checked for item in items):
        assert low == high
    tokens = bill.per_million_tokens(60, 700) * 700 / 1e6 * 1000
    assert tokens == pytest.approx(bill.per_thousand_requests(60))


@given(items=st.lists(ITEMS, min_size=1, max_size=8))
def test_what_may_stop_stops_with_the_load(items: list[Item]) -> None:
    always, some = Bill(tuple(items), 24), Bill(tuple(items), 6)
    for item in items:
        share = 0.25 if item.on_demand else 1
        assert some.month(item) == pytest.approx(always.month(item) * share)


def test_ten_customers_on_one_endpoint_with_adapters() -> None:
    """A guide's own figures: 10 x 1.25 USD/h against 1.25 USD/h; 9,125 against 912.50 a month."""
    apart, together, saved = endpoints_against_adapters(10, 1.25 * HOURS_PER_MONTH)
    assert (apart, together, saved) == (9125.0, 912.5, 0.9)


@given(
    cheap=st.floats(0, 1),
    middle=st.floats(0, 1),
)
def test_routing_80_15_5_never_saves_95_percent_unless_the_others_are_free(
    cheap: float, middle: float
) -> None:
    dearest, mixed, saved = tiered_routing(((0.80, cheap), (0.15, middle), (0.05, 1.0)))
    assert dearest == 1
    assert mixed >= 0.05
    assert saved <= 0.95 + 1e-9


def test_routing_80_15_5_by_the_sizes_of_the_models() -> None:
    """What circulates as 95 % is 91 % when a request costs as its model is large: 8, 70, 405."""
    _, mixed, saved = tiered_routing(((0.80, 8), (0.15, 70), (0.05, 405)))
    assert mixed == pytest.approx(37.15)
    assert saved == pytest.approx(0.908, abs=0.001)


def test_routing_80_15_5_that_saves_89_percent() -> None:
    """Told as 95 %; at 0.22, 0.99 and 5.32 USD a million tokens it is 89 %."""
    _, _, saved = tiered_routing(((0.80, 0.22), (0.15, 0.99), (0.05, 5.32)))
    assert round(saved, 2) == 0.89


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        tiered_routing(((0.8, 1), (0.1, 2)))


def test_eighty_percent_on_spot() -> None:
    """A guide's 70 % off for 80 % of the machines is 56 %, as it says (55 to 60 %)."""
    assert mixed_price(1.0, Terms(0.8, 0.7)) == pytest.approx(0.44)


def test_a_savings_plan_applies_to_what_is_not_on_spot() -> None:
    assert mixed_price(1.0, Terms(savings_plan=0.3)) == pytest.approx(0.7)
    assert mixed_price(1.0, Terms(0.5, 0.6, 0.3)) == pytest.approx(0.5 * 0.4 + 0.5 * 0.7)


def test_two_hours_a_day_against_always_on() -> None:
    """A guide's own figures: 1.25 USD/h, about 75 USD a month for two hours a day."""
    always, some, saved = always_on_against_on_demand(1.25, 2)
    assert (always, round(some), round(saved, 3)) == (912.5, 76, 0.917)


def test_old_prices_are_named_by_the_day() -> None:
    item = Item("machine", 1, 1, DATED, checked=True)
    assert Bill((item,)).stale(date(2026, 10, 18)) == ()
    assert Bill((item,)).stale(date(2026, 10, 19)) == (item,)
