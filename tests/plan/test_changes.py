"""Who agreed to a change has agreed to nothing that goes further."""

import pytest

from penstock.plan.changes import Action, Change, StackChange


def change(action: Action, name: str = "Endpoint") -> Change:
    return Change(action, name, "AWS::SageMaker::Endpoint")


@pytest.mark.parametrize(
    ("shown", "made", "allowed"),
    [
        (Action.CHANGE, Action.CHANGE, True),
        (Action.CHANGE, Action.REPLACE, False),
        (Action.MAY_REPLACE, Action.REPLACE, True),
        (Action.REPLACE, Action.CHANGE, True),
        (Action.CREATE, Action.REMOVE, False),
        (Action.CHANGE, Action.REMOVE, False),
    ],
)
def test_a_change_reaches_as_far_as_was_shown(shown: Action, made: Action, allowed: bool) -> None:
    assert StackChange("main", False, (change(shown),)).allows([change(made)]) is allowed


def test_what_was_not_shown_is_not_allowed() -> None:
    shown = StackChange("main", False, (change(Action.CHANGE),))
    assert shown.allows([])
    assert not shown.allows([change(Action.CREATE, "Bucket")])
