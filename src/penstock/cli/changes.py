"""A deployment's changes in words: resources, what that means, and what it costs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from penstock.cli.output import print_text
from penstock.plan.changes import Action, Change, StackChange
from penstock.plan.stack_price import StackPrice
from penstock.plan.steps import Step, Verb, is_settling
from penstock.sizing.price import HOURS_PER_MONTH
from penstock.targets.aws.consequences import consequences

SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.CHANGE: ("~", "yellow"),
    Action.MAY_REPLACE: ("~", "yellow"),
    Action.REPLACE: ("±", "bold yellow"),
    Action.REMOVE: ("-", "red"),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """What stands between a deployment as it is and as it should be.

    `most_usd_per_hour` is what it costs when it has grown as far as it may.
    """

    stacks: Sequence[StackChange]
    steps: Sequence[Step]
    before: StackPrice
    after: StackPrice
    most_usd_per_hour: float

    @property
    def changes(self) -> Iterator[Change]:
        """Every change of every stack."""
        return (change for stack in self.stacks for change in stack.changes)

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return not any(stack.changes for stack in self.stacks)

    @property
    def meanings(self) -> tuple[str, ...]:
        """What the changes mean for requests, data and addresses."""
        return () if self.is_empty else tuple(consequences(self.changes))

    def told(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        return {
            "stacks": [
                {"stack": s.stack, "new": s.is_new, "changes": [_told(c) for c in s.changes]}
                for s in self.stacks
            ],
            "steps": [str(step) for step in self.steps],
            "means": list(self.meanings),
            "usd_per_hour": {
                "before": round(self.before.usd_per_hour, 4),
                "after": round(self.after.usd_per_hour, 4),
                "most": round(self.most_usd_per_hour, 4),
            },
            "usd_per_month": {
                "before": round(self.before.usd_per_month, 2),
                "after": round(self.after.usd_per_month, 2),
                "most": round(self.most_usd_per_hour * HOURS_PER_MONTH, 2),
            },
            "price_unknown": list(self.after.unknown),
        }


def show(difference: Difference) -> None:
    """Print it for people."""
    unsettled = {e.piece.name for e in difference.steps if e.verb in (Verb.AWAIT, Verb.MEND)}
    for stack in difference.stacks:
        for line in _stack(stack) if stack.stack not in unsettled else ():
            print_text(line)
    for step in difference.steps:
        if step.verb in (Verb.AWAIT, Verb.MEND, Verb.REMOVE):
            print_text(f"first: {step}")
    if is_settling(difference.steps):
        print_text("What else would change is known after that.")
    for meaning in difference.meanings:
        print_text(meaning)
    for sentence in _price(difference):
        print_text(sentence)


def money(usd_per_hour: float) -> str:
    """An hourly price with what it comes to in a month of 730 hours."""
    return f"{usd_per_hour:.2f} USD/h ({usd_per_hour * HOURS_PER_MONTH:,.0f} USD a month)"


def _stack(stack: StackChange) -> Iterator[Text]:
    if not stack.changes:
        yield Text(f"{stack.stack}: nothing changes")
        return
    yield Text(f"{stack.stack}{' is new' if stack.is_new else ''}:")
    width = max(len(each.name) for each in stack.changes)
    for each in stack.changes:
        sign, style = SIGNS[each.action]
        what = f"  {', '.join(each.properties)}" if each.properties else ""
        what += {Action.REPLACE: "  is replaced", Action.MAY_REPLACE: "  may be replaced"}.get(
            each.action, ""
        )
        yield Text.assemble("  ", (sign, style), f" {each.name:<{width}}  {each.kind}{what}")


def _price(difference: Difference) -> Iterator[str]:
    before, after = difference.before, difference.after
    if before.items and abs(before.usd_per_hour - after.usd_per_hour) >= 0.005:
        yield f"Cost: {money(before.usd_per_hour)} now, then {money(after.usd_per_hour)}."
    else:
        yield f"Cost: {money(after.usd_per_hour)}, used or not."
    if difference.most_usd_per_hour > after.usd_per_hour + 0.005:
        yield f"At its most copies: {money(difference.most_usd_per_hour)}."
    if after.unknown:
        yield f"Without: {', '.join(after.unknown)}, whose price is not known."
    unchecked = dict.fromkeys(item.name for item in after.items if not item.checked)
    if unchecked:
        yield f"Prices that nobody compared with their source: {_listed(unchecked)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _told(change: Change) -> Mapping[str, object]:
    return {
        "action": str(change.action),
        "name": change.name,
        "type": change.kind,
        "properties": list(change.properties),
    }
