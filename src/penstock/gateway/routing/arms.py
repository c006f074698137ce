"""Who gets which arm of a split: by weight over all keys, and always the same for one key."""

import math
from collections.abc import Sequence

from penstock.gateway.routing.ring import hash_of

_UNIT = 1 << 64


def arm_of(key: str, split: str, arms: Sequence[tuple[str, float]]) -> int | None:
    """Return the place of the arm that `key` gets of `(name, weight)` pairs; none if all weigh 0.

    Weighted rendezvous hashing: each arm draws `-weight / ln(hash(key, arm))`, the largest wins.
    So a key stays where it is while the weights stand; more weight for an arm only moves keys to
    it, less only moves keys away, and an arm that goes leaves all other keys where they are.
    `split` is the model's name: the draws of two models do not depend on each other.
    """
    best, chosen = 0.0, None
    for place, (name, weight) in enumerate(arms):
        if weight <= 0:
            continue
        drawn = (hash_of(key.encode(), split.encode(), name.encode()) + 0.5) / _UNIT
        score = -weight / math.log(drawn)
        if score > best:
            best, chosen = score, place
    return chosen
