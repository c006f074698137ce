"""Time that runs faster than the wall's, so that minutes of AWS pass in seconds.

Durations (how long an endpoint takes, a cooldown, an alarm's period) are measured on this clock.
Timestamps in answers are the wall's, so that clients may compare them with their own.
"""

import threading

from penstock.ground.clock import Clock, monotonic


class ScaledClock:
    """Seconds since the start, `scale` of them for each second that passes."""

    def __init__(self, scale: float = 60.0, clock: Clock = monotonic) -> None:
        self.scale = scale
        self._clock, self._start, self._ahead_s = clock, clock(), 0.0
        self._moved = threading.Condition()

    def __call__(self) -> float:
        """Return the seconds of AWS's time that have passed."""
        return (self._clock() - self._start) * self.scale + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Move time on by `seconds`, and wake those who slept that long."""
        with self._moved:
            self._ahead_s += seconds
            self._moved.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait until `seconds` of AWS's time have passed."""
        until = self() + seconds
        with self._moved:
            while (left := until - self()) > 0:
                self._moved.wait(left / self.scale)
