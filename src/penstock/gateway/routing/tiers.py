"""Which tier a score gets, among those that may be used."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from penstock.gateway.routing.score import Score
from penstock.gateway.routing.settings import TierSettings


class Decision(NamedTuple):
    """The tier, and why, as the header and the ledger say it."""

    tier: TierSettings
    text: str


def decide(
    score: Score, tiers: Sequence[TierSettings], may_use: Callable[[str], bool]
) -> Decision | None:
    """Return the highest tier that the score reaches; none where no tier may be used.

    One that may not be used is skipped: the next lower one is taken, or else the next higher.
    """
    reached = max(
        (number for number, tier in enumerate(tiers) if score.value >= tier.above), default=0
    )
    downwards = [*range(reached, -1, -1), *range(reached + 1, len(tiers))]
    skipped: list[str] = []
    for number in downwards:
        tier = tiers[number]
        if may_use(tier.model):
            reasons = [*score.reasons, *(f"skipped:{name}" for name in skipped)]
            text = (
                f"tier={tier.name} score={score.value:.2f} reasons={','.join(reasons) or 'none'}"
            )
            return Decision(tier, text)
        skipped.append(tier.name)
    return None
