"""What CloudWatch would have measured: points in AWS's time, kept for a day of it.

Alarms and policies look at AWS's time; who asks CloudWatch gives the wall's: points have both.
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

DAY_S = 86_400.0
MOST_POINTS = 20_000
Key = tuple[str, str, frozenset[tuple[str, str]]]


class Point(NamedTuple):
    """A measured value: when, on AWS's clock and on the wall's (Unix time)."""

    at_s: float
    wall_s: float
    value: float


class Metrics:
    """Points by namespace, name and dimensions."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._points: dict[Key, deque[Point]] = defaultdict(lambda: deque(maxlen=MOST_POINTS))
        self._lock = threading.Lock()

    def put(self, namespace: str, name: str, dimensions: Mapping[str, str], value: float) -> None:
        """Record a value that was measured now."""
        with self._lock:
            points = self._points[_key(namespace, name, dimensions)]
            points.append(Point(self._clock(), time.time(), value))
            while points[0].at_s < self._clock() - DAY_S:
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
            return [each.value for each in points if start <= each.at_s < start + for_s]

    def between(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        begin_s: float,
        end_s: float,
    ) -> list[Point]:
        """Return the points between two times of the wall, oldest first."""
        with self._lock:
            points = self._points.get(_key(namespace, name, dimensions), ())
            return [each for each in points if begin_s <= each.wall_s < end_s]

    def known(self) -> list[tuple[str, str, dict[str, str]]]:
        """Return the namespace, name and dimensions of everything that was ever measured."""
        with self._lock:
            return [(space, name, dict(dimensions)) for space, name, dimensions in self._points]


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
