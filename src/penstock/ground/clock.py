"""Time as a parameter, so that no test has to sleep."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns seconds; only differences mean anything."""

monotonic: Clock = time.monotonic


class FakeClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.now_s = start_s

    def __call__(self) -> float:
        """Return the time it was moved to, seconds."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Move time on by `seconds`."""
        self.now_s += seconds
