"""When a deployment counts as one that serves, and as well."""

import pytest

from penstock.targets.aws.stacks import Seen
from penstock.targets.sagemaker.hosted import Component, Endpoint
from penstock.targets.sagemaker.standing import Standing


def standing(
    status: str, component: str = "InService", stack: str = "UPDATE_COMPLETE"
) -> Standing:
    copy = Component("penstock-bot-base", component, "", 1, 1, "", "arn")
    endpoint = Endpoint("penstock-bot", status, "", (), (copy,), "config")
    return Standing((Seen("penstock-bot", "id", stack, ""),), endpoint, ())


@pytest.mark.parametrize(
    ("endpoint", "component", "serves"),
    [
        ("InService", "InService", True),
        ("Updating", "InService", True),  # so it is called while it is scaled, too
        ("InService", "Updating", True),
        ("SystemUpdating", "InService", True),
        ("RollingBack", "InService", True),
        ("Creating", "InService", False),
        ("Failed", "InService", False),
        ("OutOfService", "InService", False),
        ("InService", "Creating", False),
        ("Updating", "Failed", False),
    ],
)
def test_what_is_changed_or_scaled_serves(endpoint: str, component: str, serves: bool) -> None:
    seen = standing(endpoint, component)
    assert (seen.serves, seen.is_well) == (serves, serves)


def test_it_is_not_well_while_its_stack_is_not() -> None:
    seen = standing("Updating", stack="UPDATE_ROLLBACK_IN_PROGRESS")
    assert seen.serves
    assert not seen.is_well


def test_without_an_endpoint_nothing_serves() -> None:
    assert not Standing((), None, ()).serves
