"""How long to wait before a dead process is started again."""

import random
from collections.abc import Callable


class Backoff:
    """Waiting times that double from `first_s` to `cap_s`.

    Each is longer by a random part, at most `spread` of itself; `jitter` draws it, from 0 to 1. A
    process that was healthy for `healthy_s` seconds is forgiven its earlier deaths.
    """

    def __init__(
        self,
        *,
        first_s: float = 1.0,
        cap_s: float = 60.0,
        healthy_s: float = 120.0,
        spread: float = 0.2,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.first_s, self.cap_s, self.healthy_s = first_s, cap_s, healthy_s
        self.spread, self.jitter = spread, jitter
        self.deaths = 0

    def delay_s(self, lived_s: float) -> float:
        """Seconds to wait after a death that followed `lived_s` seconds of health."""
        if lived_s >= self.healthy_s:
            self.deaths = 0
        plain = min(self.cap_s, self.first_s * 2.0 ** min(self.deaths, 32))
        self.deaths += 1
        return min(self.cap_s, plain * (1 + self.spread * self.jitter()))
