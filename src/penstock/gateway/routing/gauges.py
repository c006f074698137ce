"""What an engine says of its own work, and what of it is not ours.

An engine serves several gateways, and each knows only what it sent itself. The engine's gauges
tell the sum, a second late. So the work of others is the sum less what was ours when it was told;
a gateway's own count, which is never late, is added where an engine is chosen. What is not told
any more is believed less each time, and then not at all.
"""

import re
from typing import NamedTuple

_GAUGE = re.compile(
    rb"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|gpu_cache_usage_perc)"
    rb"(?:\{[^\n]*\})? ([0-9.eE+-]+)\r?$",
    re.MULTILINE,
)
_FORGET_AFTER = 4


class Reading(NamedTuple):
    """Requests that an engine computes and has waiting, and how full its KV cache is (0 to 1)."""

    running: float = 0.0
    waiting: float = 0.0
    cache: float = 0.0


def read_gauges(text: bytes) -> Reading | None:
    """Return what `/metrics` of an engine says, none where it says nothing of it.

    Several engine cores behind one address are summed; of their caches the fullest counts.
    """
    running = waiting = cache = 0.0
    found = False
    for name, number in _GAUGE.findall(text):
        try:
            value = float(number)
        except ValueError:
            continue
        found = True
        if name == b"num_requests_running":
            running += value
        elif name == b"num_requests_waiting":
            waiting += value
        else:
            cache = max(cache, min(value, 1.0))
    return Reading(running, waiting, cache) if found else None


class Work:
    """The work of one engine as its gauges tell it.

    The measure that engines are compared by is `(own + foreign) * heft`: requests, weighed by how
    full the KV cache is. With a full cache they count twice as much as with an empty one.
    """

    __slots__ = ("_misses", "foreign", "heft")

    def __init__(self) -> None:
        self.foreign, self.heft = 0.0, 1.0
        self._misses = 0

    def learn(self, reading: Reading, own: int) -> None:
        """The engine has told; `own` of its requests were this gateway's."""
        self.foreign = max(0.0, reading.running + reading.waiting - own)
        self.heft = 1.0 + reading.cache
        self._misses = 0

    def miss(self) -> None:
        """The engine has not told this time."""
        self._misses += 1
        if self._misses >= _FORGET_AFTER:
            self.foreign, self.heft = 0.0, 1.0
        else:
            self.foreign /= 2
            self.heft = 1.0 + (self.heft - 1.0) / 2
