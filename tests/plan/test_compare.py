"""Plans side by side, and routing over them."""

from collections.abc import Callable

import pytest

from penstock.ground.errors import UserError
from penstock.plan.compare import routing, routing_text, table
from penstock.plan.report import Report

Plan = Callable[..., Report]


@pytest.fixture
def tiers(plan: Plan) -> list[Report]:
    models = ("Llama-3.2-1B", "Llama-3.1-8B", "Llama-3.1-70B")
    return [
        plan(name=f"tier-{number}", model={"id": f"meta-llama/{model}-Instruct"})
        for number, model in enumerate(models)
    ]


def test_the_cheapest_is_marked(tiers: list[Report]) -> None:
    head, *rows, old = table(tiers)
    assert head.startswith("plan")
    assert [row.endswith("<- cheapest") for row in rows] == [True, False, False]
    assert "older than 90 days" in old


def test_a_plan_that_serves_nothing_has_no_figures(plan: Plan) -> None:
    nothing = plan(target={"kind": "ecs", "instances": ["g4dn.xlarge"]})
    rows = list(table([nothing, nothing]))
    assert "nothing serves this" in rows[1]
    assert not any("cheapest" in row for row in rows)


def test_routing_is_the_mean_of_what_requests_cost(tiers: list[Report]) -> None:
    costs = [each.best.bill.per_thousand_requests(60) for each in tiers if each.best]
    found = routing(tiers, (80, 15, 5))
    mean = 0.80 * costs[0] + 0.15 * costs[1] + 0.05 * costs[2]
    assert found["usd_per_thousand_requests"] == pytest.approx(mean)
    assert found["usd_on_the_dearest"] == max(costs)
    assert found["saved"] == pytest.approx(1 - mean / max(costs))
    assert found["at_most"] == pytest.approx(0.95)
    assert "80/15/5" in routing_text(found, (80, 15, 5))


@pytest.mark.parametrize("shares", [(50, 50), (50, 30, 10)])
def test_shares_that_do_not_fit_are_refused(
    tiers: list[Report], shares: tuple[float, ...]
) -> None:
    with pytest.raises(UserError):
        routing(tiers, shares)
