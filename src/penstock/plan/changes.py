"""What a deployment would change, before it is carried out: as data, for words and for consent."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What happens to a resource."""

    CREATE = "create"
    CHANGE = "change"
    MAY_REPLACE = "change, or replace"
    """It depends on what another resource turns out to be."""
    REPLACE = "replace"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """One resource: its name in the template, its type, and what of it changes.

    `known_as` is the name that users know it by, where that is another one.
    """

    action: Action
    name: str
    kind: str
    properties: tuple[str, ...] = ()
    known_as: str = ""


@dataclass(frozen=True, slots=True)
class StackChange:
    """All changes of one stack; `is_new` says that it does not exist yet."""

    stack: str
    is_new: bool
    changes: tuple[Change, ...]

    def allows(self, changes: Sequence[Change]) -> bool:
        """Whether nothing of `changes` goes further than what was shown here."""
        shown = {each.name: each.action for each in self.changes}
        return all(
            each.action in REACH[shown[each.name]] if each.name in shown else False
            for each in changes
        )


REACH = {
    Action.CREATE: {Action.CREATE},
    Action.CHANGE: {Action.CHANGE},
    Action.MAY_REPLACE: {Action.CHANGE, Action.MAY_REPLACE, Action.REPLACE},
    Action.REPLACE: {Action.CHANGE, Action.MAY_REPLACE, Action.REPLACE},
    Action.REMOVE: {Action.REMOVE},
}
"""What whoever agreed to an action has agreed to."""
