"""Limits other than the request rate: tokens a minute, and requests at the same time."""

from penstock.ground.clock import Clock


class TokenBucket:
    """Tokens a minute: what a request may use is taken at once and corrected at its end."""

    __slots__ = ("_clock", "_level", "_seen_s", "per_minute")

    def __init__(self, per_minute: int, *, clock: Clock) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._level, self._seen_s = float(per_minute), clock()

    def _flow(self) -> float:
        now_s = self._clock()
        level = self._level + (now_s - self._seen_s) * self.per_minute / 60
        self._seen_s = now_s
        self._level = level = min(level, float(self.per_minute))
        return level

    def take(self, tokens: int) -> float:
        """Take `tokens`, a minute's at most; return 0.0, or the seconds to wait."""
        needed = min(tokens, self.per_minute)
        missing = needed - self._flow()
        if missing > 0:
            return missing * 60 / self.per_minute
        self._level -= needed
        return 0.0

    def correct(self, taken: int, used: int) -> None:
        """A request that took `taken` has used `used`; the level may fall below zero."""
        self._level += min(taken, self.per_minute) - used

    def state(self) -> tuple[int, float]:
        """Return how many may be taken right now, and the seconds until the bucket is full."""
        level = self._flow()
        return max(0, int(level)), (self.per_minute - level) * 60 / self.per_minute
