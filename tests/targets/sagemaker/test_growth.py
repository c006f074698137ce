"""Deployments with other numbers of machines, for their price."""

from typing import Any

from tests.targets.sagemaker.cases import emitted

from penstock.targets.sagemaker.growth import most_machines, with_machines


def machines(template: dict[str, Any]) -> int:
    variants = template["Resources"]["EndpointConfig"]["Properties"]["ProductionVariants"]
    return int(variants[0]["InitialInstanceCount"])


def test_a_variant_grows_to_its_bound() -> None:
    template = emitted("realtime-scaled").main.template
    grown = most_machines(template)
    assert (machines(dict(template)), machines(grown)) == (1, 4)
    assert machines(most_machines(emitted("components").main.template)) == 4


def test_a_template_takes_the_machines_that_run() -> None:
    template = emitted("realtime-scaled").main.template
    assert machines(with_machines(template, {"AllTraffic": 3})) == 3
    assert machines(with_machines(template, {})) == 0
