"""What IAM policies say of a request: allowed, denied, or nothing; pure.

The order is AWS's: a statement that denies wins, then one that allows, else it is denied. What a
policy says that is not known here (an operator, a key of a statement) is refused, never ignored.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.rehearsal.refusals import AwsError

Document = Mapping[str, Any]
Context = Mapping[str, Sequence[str]]
STATEMENT_KEYS = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal",
}  # fmt: skip
ALLOWED, DENIED, SILENT = "allowed", "explicitDeny", "implicitDeny"
ANYTHING = "?"
"""A resource that is not known: statements about any resource count."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What came out: one of AWS's three words, and the names of the policies that said so."""

    word: str
    by: tuple[str, ...] = ()

    @property
    def allows(self) -> bool:
        """Whether the request may be made."""
        return self.word == ALLOWED


def decide(
    policies: Mapping[str, Document], action: str, resource: str, context: Context
) -> Decision:
    """Return what the policies (by name) say of an action on a resource."""
    found: dict[str, list[str]] = {"Allow": [], "Deny": []}
    for name, document in policies.items():
        for statement in _listed(document.get("Statement", ())):
            if _applies(statement, action, resource, context):
                found[statement["Effect"]].append(name)
    if found["Deny"]:
        return Decision(DENIED, tuple(found["Deny"]))
    if found["Allow"]:
        return Decision(ALLOWED, tuple(found["Allow"]))
    return Decision(SILENT)


def _applies(statement: Document, action: str, resource: str, context: Context) -> bool:
    if odd := set(statement) - STATEMENT_KEYS:
        raise AwsError("InvalidInput", f"the stand-in does not know a statement's {sorted(odd)}")
    named = _any(statement.get("Action"), action, fold=True)
    if "NotAction" in statement:
        named = not _any(statement["NotAction"], action, fold=True)
    if not named:
        return False
    if not _is_about(statement, resource):
        return False
    return all(
        _holds(operator, key, _listed(wanted), context)
        for operator, tests in statement.get("Condition", {}).items()
        for key, wanted in tests.items()
    )


def _is_about(statement: Document, resource: str) -> bool:
    if resource == ANYTHING:
        return True
    if "NotResource" in statement:
        return not _any(statement["NotResource"], resource)
    return _any(statement.get("Resource", "*"), resource)


def _holds(operator: str, key: str, wanted: list[Any], context: Context) -> bool:
    quantifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    lowered = {known.lower(): values for known, values in context.items()}
    values = lowered.get(key.lower())
    if name == "Null":
        return (values is None) == (str(wanted[0]).lower() == "true")
    if values is None:
        return optional or quantifier == "ForAllValues" or "Not" in name
    test = _tests(name)
    negated = "Not" in name
    told = [any(test(value, str(each)) for each in wanted) != negated for value in values]
    return any(told) if quantifier == "ForAnyValue" else all(told)


def _tests(name: str) -> Any:
    plain = name.replace("Not", "")
    known = {
        "StringEquals": lambda value, wanted: value == wanted,
        "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
        "StringLike": _like,
        "ArnEquals": _like,
        "ArnLike": _like,
        "Bool": lambda value, wanted: value.lower() == wanted.lower(),
        "NumericEquals": lambda value, wanted: float(value) == float(wanted),
        "NumericLessThanEquals": lambda value, wanted: float(value) <= float(wanted),
        "NumericGreaterThanEquals": lambda value, wanted: float(value) >= float(wanted),
    }
    if plain not in known:
        raise AwsError("InvalidInput", f"the stand-in does not know the operator {name}")
    return known[plain]


def _any(patterns: Any, value: str, *, fold: bool = False) -> bool:
    return any(
        _like(value.lower(), each.lower()) if fold else _like(value, each)
        for each in _listed(patterns)
    )


def _like(value: str, pattern: str) -> bool:
    escaped = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(escaped, value, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return (
        list(value)
        if isinstance(value, Iterable) and not isinstance(value, str | Mapping)
        else [value]
    )
