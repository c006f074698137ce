"""A policy that is too long for one managed policy of IAM, as several that say the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from penstock.targets.aws.roles import Statement, document

MOST_CHARACTERS = 6144
"""A managed policy without its spaces, which IAM does not count (its quotas page)."""
MOST_POLICIES = 10
"""Managed policies that may be attached to one role, as long as nobody asks for more."""


def policy_parts(policy: Mapping[str, object]) -> tuple[dict[str, object], ...]:
    """Policies that together allow what `policy` does, each short enough to be attached."""
    parts: list[list[Statement]] = [[]]
    statements = cast("Sequence[Statement]", policy["Statement"])
    for statement in (piece for each in statements for piece in _fitting(each)):
        if length(document([*parts[-1], statement])) > MOST_CHARACTERS:
            parts.append([])
        parts[-1].append(statement)
    return tuple(document(part) for part in parts)


def length(policy: Mapping[str, object]) -> int:
    """The characters of a policy that IAM counts."""
    return len(json.dumps(policy, separators=(",", ":")))


def _fitting(statement: Statement) -> Iterator[Statement]:
    """The statement, or its halves where it is too long for a policy of its own."""
    actions = cast("Sequence[str]", statement["Action"])
    if length(document([statement])) <= MOST_CHARACTERS or len(actions) < 2:
        yield statement
        return
    half = len(actions) // 2
    for some in (actions[:half], actions[half:]):
        yield from _fitting({**statement, "Action": list(some)})
