"""All limits of one tenant, key or model, as the hot path asks them."""

from dataclasses import dataclass

from penstock.ground.clock import Clock
from penstock.registry.counters.memory import Bucket
from penstock.registry.counters.slices import Empty
from penstock.registry.counters.tokens import TokenBucket
from penstock.registry.records import Limits

NO_RATE, NO_COUNT = 1e12, 1 << 62


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit was reached, in words, and when to come back."""

    limit: str
    retry_after_s: float


def terms_of(limits: Limits) -> tuple[float, int, int] | None:
    """Return requests a second, at once and a day, as buckets take them; none without either."""
    per_s, per_day = limits.requests_per_second, limits.requests_per_day
    if per_s is None and per_day is None:
        return None
    burst = limits.burst or (max(1, round(2 * per_s)) if per_s else NO_COUNT)
    return per_s or NO_RATE, burst, per_day or NO_COUNT


class Gate:
    """Lets requests in and counts them out again."""

    __slots__ = ("_clock", "_wall", "bucket", "concurrent", "limits", "running", "tokens")

    def __init__(self, limits: Limits, *, clock: Clock, wall: Clock) -> None:
        self._clock, self._wall = clock, wall
        self.running = 0
        self.bucket: Bucket | None = None
        self.tokens: TokenBucket | None = None
        self.concurrent: int | None = None
        self.limits = Limits()
        self.change(limits)

    def change(self, limits: Limits) -> None:
        """Take new limits; what was used of the old ones stays used."""
        if limits == self.limits:
            return
        old, self.limits = self.limits, limits
        rate = (limits.requests_per_second, limits.burst, limits.requests_per_day)
        if rate != (old.requests_per_second, old.burst, old.requests_per_day):
            self._change_rate(limits)
        if limits.tokens_per_minute != old.tokens_per_minute:
            per_minute = limits.tokens_per_minute
            self.tokens = TokenBucket(per_minute, clock=self._clock) if per_minute else None
        self.concurrent = limits.concurrent_requests

    def _change_rate(self, limits: Limits) -> None:
        terms = terms_of(limits)
        if terms is None:
            self.bucket = None
            return
        rate, burst, day = terms
        if self.bucket is None:
            self.bucket = Bucket(rate, burst, day, clock=self._clock, wall=self._wall)
        else:
            self.bucket.change(rate, burst, day)

    def request(self) -> Refusal | None:
        """Count one request; a refusal leaves everything as it was."""
        bucket = self.bucket
        if bucket is None:
            return None
        wait_s = bucket.take()
        if not wait_s:
            return None
        if bucket.left_today:
            return Refusal(f"{bucket.rate:g} requests a second, {bucket.burst} at once", wait_s)
        return Refusal(f"{bucket.per_day} requests a day", wait_s)

    def put_back(self) -> None:
        """Undo `request`."""
        if self.bucket is not None:
            self.bucket.put_back()

    def enter(self, tokens: int) -> Refusal | None:
        """Begin a request that may use `tokens`; `leave` must follow unless it is refused."""
        if self.concurrent is not None and self.running >= self.concurrent:
            return Refusal(f"{self.concurrent} requests at the same time", 1.0)
        if self.tokens is not None and (wait_s := self.tokens.take(tokens)):
            return Refusal(f"{self.tokens.per_minute} tokens a minute", wait_s)
        self.running += 1
        return None

    def leave(self, taken: int, used: int) -> None:
        """End a request: it had taken `taken` tokens and has used `used`."""
        self.running -= 1
        if self.tokens is not None:
            self.tokens.correct(taken, used)


def counts_at_once(gate: Gate) -> bool:
    """Count a request; false, with nothing taken, where that needs a wait."""
    try:
        return gate.request() is None
    except Empty as empty:
        empty.ask_later()
        return False


def enters_at_once(gate: Gate, tokens: int) -> bool:
    """Count a request and begin it; false, with nothing taken, where that needs a wait."""
    if not counts_at_once(gate):
        return False
    try:
        refused = gate.enter(tokens) is not None
    except Empty as empty:
        empty.ask_later()
        refused = True
    if refused:
        gate.put_back()
    return not refused
