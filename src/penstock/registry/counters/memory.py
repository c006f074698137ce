"""Request limits of one process, kept in memory."""

from penstock.ground.clock import Clock

DAY_S = 86_400


class Bucket:
    """A token bucket with a daily ceiling: the two limits every tenant has.

    `rate` tokens a second flow in until `burst` are there; each request takes one. The day is
    counted in UTC by `wall` (seconds since the epoch), the flow by `clock`. A clock that is set
    back to the day before does not begin it anew.
    """

    __slots__ = (
        "_clock",
        "_day",
        "_level",
        "_seen_s",
        "_today",
        "_wall",
        "burst",
        "per_day",
        "rate",
    )

    def __init__(
        self, rate: float, burst: int, per_day: int, *, clock: Clock, wall: Clock
    ) -> None:
        self.rate, self.burst, self.per_day = rate, burst, per_day
        self._clock, self._wall = clock, wall
        self._level, self._seen_s = float(burst), clock()
        self._day, self._today = int(wall() // DAY_S), 0

    def change(self, rate: float, burst: int, per_day: int) -> None:
        """Take new limits; what was used of the old ones stays used."""
        self.rate, self.burst, self.per_day = rate, burst, per_day
        self._level = min(self._level, float(burst))

    def take(self) -> float:
        """Take one request; return 0.0, or the seconds to wait when none may pass now."""
        now_s = self._clock()
        level = self._level + (now_s - self._seen_s) * self.rate
        self._level = level if level < self.burst else float(self.burst)
        self._seen_s = now_s
        if self._level < 1.0:
            return (1.0 - self._level) / self.rate
        wall_s = self._wall()
        day = int(wall_s // DAY_S)
        if day != self._day:
            self._today = 0 if day > self._day else self._today
            self._day = day
        if self._today >= self.per_day:
            return (day + 1) * DAY_S - wall_s
        self._level -= 1.0
        self._today += 1
        return 0.0

    def put_back(self) -> None:
        """Undo `take`."""
        self._level += 1.0
        self._today -= 1

    @property
    def left(self) -> int:
        """Requests that may pass at once, right now."""
        return int(self._level)

    @property
    def left_today(self) -> int:
        """Requests left in this UTC day."""
        return max(0, self.per_day - self._today)
