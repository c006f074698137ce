"""Metric math, as far as alarms and dashboards of ours use it: arithmetic, and MAX of a list."""

import re
from collections.abc import Callable, Mapping

from simpleeval import InvalidExpression, simple_eval  # type: ignore[import-untyped]  # no types

from penstock.rehearsal.refusals import AwsError

_FUNCTION = re.compile(r"[A-Z_]+\s*\(")
_OF_A_LIST = re.compile(r"(MAX|MIN|SUM)\(\[([\w\s,]+)\]\)")
_LISTS: dict[str, Callable[[list[float]], float]] = {"MAX": max, "MIN": min, "SUM": sum}


def calculate(expression: str, known: Mapping[str, float | None]) -> float | None:
    """Return the value of `expression`, given the figures that are `known`; None if it has none.

    A function of a list leaves out what is missing; arithmetic has no value then.
    """
    if found := _OF_A_LIST.fullmatch(expression.strip()):
        names = [each.strip() for each in found[2].split(",")]
        values = [value for name in names if (value := known.get(name)) is not None]
        return _LISTS[found[1]](values) if values else None
    if _FUNCTION.search(expression):
        raise AwsError("ValidationError", f"the stand-in cannot calculate {expression}")
    used = {name: value for name, value in known.items() if re.search(rf"\b{name}\b", expression)}
    if not used or None in used.values():
        return None
    try:
        return float(simple_eval(expression, names=used))
    except ZeroDivisionError:
        return None
    except (InvalidExpression, SyntaxError) as error:
        raise AwsError(
            "ValidationError", f"the stand-in cannot calculate {expression}: {error}"
        ) from error
