"""Looking again and again: often while something happens, seldom while nothing does."""

import time
from collections.abc import Callable

from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import CloudError

SHORTEST_S, LONGEST_S, GROWTH = 0.1, 5.0, 1.3
FIRST_WORD_S = 5.0
STILL_S = 3 * 3600.0
"""How long nothing may happen before it is given up: an endpoint may take an hour and a half."""


class Patience:
    """Pauses between looks; `news` makes the next ones short again."""

    def __init__(
        self,
        what: str,
        still_s: float = STILL_S,
        sleep: Callable[[float], None] = time.sleep,
        clock: Clock = monotonic,
    ) -> None:
        self._what, self._still_s, self._sleep, self._clock = what, still_s, sleep, clock
        self.news()

    def news(self) -> None:
        """Something happened."""
        self._pause_s, self._since_s = SHORTEST_S, self._clock()
        self._next_word_s = FIRST_WORD_S

    def is_time_for_a_word(self) -> bool:
        """Whether whoever waits should hear that nothing has happened: ever more seldom."""
        if self.quiet_s < self._next_word_s:
            return False
        self._next_word_s *= 2
        return True

    @property
    def quiet_s(self) -> float:
        """Seconds since something happened."""
        return self._clock() - self._since_s

    def pause(self) -> None:
        """Wait until it is worth looking again.

        Raises:
            CloudError: nothing has happened for too long.
        """
        if self.quiet_s > self._still_s:
            raise CloudError(
                f"nothing has happened to {self._what} for {self._still_s / 60:.0f} minutes",
                fix="Look at it in AWS's console; a rerun waits again",
            )
        self._sleep(self._pause_s)
        self._pause_s = min(self._pause_s * GROWTH, LONGEST_S)
