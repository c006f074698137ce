"""What a usage plan allows: a bucket of requests a second, and so many a day, week or month."""

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PERIODS = {"DAY": "%Y-%m-%d", "WEEK": "%G-%V", "MONTH": "%Y-%m"}


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float = field(default_factory=time.monotonic)


class Meters:
    """Counts requests; the wall's clock, because clients live by it."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._used: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def flows(self, name: str, per_second: float, burst: int) -> bool:
        """Whether one more request fits the bucket called `name`, and take it."""
        with self._lock:
            now_s = time.monotonic()
            bucket = self._buckets.setdefault(name, _Bucket(burst))
            bucket.left = min(burst, bucket.left + (now_s - bucket.at_s) * per_second)
            bucket.at_s = now_s
            if bucket.left < 1:
                return False
            bucket.left -= 1
            return True

    def within(self, name: str, quota: dict[str, Any]) -> bool:
        """Whether one more request is within the quota of its period, and count it."""
        if not quota:
            return True
        period = datetime.now(UTC).strftime(PERIODS[quota["period"]])
        with self._lock:
            used = self._used.get((name, period), int(quota.get("offset", 0)))
            if used >= int(quota["limit"]):
                return False
            self._used[name, period] = used + 1
            return True
