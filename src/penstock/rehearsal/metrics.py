"""What CloudWatch would have measured: points in AWS's time, kept for a day of it."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

DAY_S = 86_400.0
MOST_POINTS = 20_000
Key = tuple[str, str, frozenset[tuple[str, str]]]


class Metrics:
    """Points by namespace, name and dimensions."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._points: dict[Key, deque[tuple[float, float]]] = defaultdict(
            lambda: deque(maxlen=MOST_POINTS)
        )
        self._lock = threading.Lock()

    def put(self, namespace: str, name: str, dimensions: Mapping[str, str], value: float) -> None:
        """Record a value that was measured now."""
        with self._lock:
            points = self._points[_key(namespace, name, dimensions)]
            points.append((self._clock(), value))
            while points[0][0] < self._clock() - DAY_S:
                points.popleft()

    def values(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        *,
        ago_s: float,
        for_s: float,
    ) -> list[float]:
        """Return the values of the `for_s` seconds that began `ago_s` seconds ago."""
        start = self._clock() - ago_s
        with self._lock:
            points = self._points.get(_key(namespace, name, dimensions), ())
            return [value for at, value in points if start <= at < start + for_s]


def statistic(values: list[float], name: str) -> float | None:
    """Return `Sum`, `Average`, `Maximum`, `Minimum`, `SampleCount` or `pNN`; none of nothing."""
    if not values:
        return None
    if name.startswith("p"):
        rank = float(name[1:]) / 100 * (len(values) - 1)
        return sorted(values)[round(rank)]
    of: dict[str, Any] = {
        "Sum": sum,
        "Maximum": max,
        "Minimum": min,
        "SampleCount": len,
        "Average": lambda all_: sum(all_) / len(all_),
    }
    return float(of[name](values))


def _key(namespace: str, name: str, dimensions: Mapping[str, str]) -> Key:
    return namespace, name, frozenset(dimensions.items())
