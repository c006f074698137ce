"""Which batches nobody runs: those without a gateway, and those whose gateway is heard of no more.

A gateway that runs a batch counts its beat up. How long the same beat has been seen is counted by
our own clock, from look to look, and between two looks no more than a part of the lease: a
gateway that has itself stood still, or could not reach the database, has heard of nobody
meanwhile, and those who stood still with it get the time to be heard again.
"""

from collections.abc import Sequence

from penstock.ground.clock import Clock
from penstock.registry.stores.batches import Sight

LEAST_LOOKS = 4
"""So often at least the same beat is seen before its gateway is given up."""


class Heard:
    """What one gateway has heard of those that run batches."""

    def __init__(self, lease_s: float, clock: Clock) -> None:
        """`clock` is monotonic, seconds."""
        self._lease_s, self._clock = lease_s, clock
        self._looked_s = clock()
        self._seen: dict[str, tuple[Sight, float]] = {}
        """Each batch, and for how long it has been so, seconds."""

    def free(self, active: Sequence[Sight]) -> list[Sight]:
        """Look at what is not done; returns what may be taken, in the same order."""
        now_s = self._clock()
        passed_s = min(now_s - self._looked_s, self._lease_s / LEAST_LOOKS)
        self._looked_s = now_s
        self._seen = {one.id: (one, self._quiet_s(one, passed_s)) for one in active}
        return [one for one in active if not one.owner or self._seen[one.id][1] >= self._lease_s]

    def _quiet_s(self, one: Sight, passed_s: float) -> float:
        before, quiet_s = self._seen.get(one.id, (None, 0.0))
        if before is None or (before.owner, before.beat) != (one.owner, one.beat):
            return 0.0
        return quiet_s + passed_s
