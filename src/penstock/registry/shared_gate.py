"""A gate whose limits hold for several gateways together: what it lets in is in its slices."""

from penstock.registry.counters.exchange import Counters
from penstock.registry.counters.memory import Bucket
from penstock.registry.counters.slices import Slice, Terms
from penstock.registry.counters.tokens import TokenBucket
from penstock.registry.gate import NO_COUNT, NO_RATE, Gate, Refusal
from penstock.registry.records import Limits


class SharedGate(Gate):
    """Satisfies what is asked of a `Gate`; may raise `slices.Empty` where that decides."""

    __slots__ = ("_counters", "_places", "_scope")

    def __init__(self, counters: Counters, scope: str, limits: Limits) -> None:
        self._scope, self._counters = scope, counters
        self._places: Slice | None = None
        super().__init__(limits, clock=counters.clock, wall=counters.wall)

    def change(self, limits: Limits) -> None:
        """Take new limits; what was used of the old ones stays used."""
        if limits == self.limits:
            return
        self.limits = limits
        self._change_requests(limits)
        self._change_tokens(limits.tokens_per_minute)
        self._change_places(limits.concurrent_requests)

    def _change_requests(self, limits: Limits) -> None:
        per_s, per_day = limits.requests_per_second, limits.requests_per_day
        if per_s is None and per_day is None:
            self.bucket = None
            return
        burst = limits.burst or (max(1, round(2 * per_s)) if per_s else NO_COUNT)
        rate, day = per_s or NO_RATE, per_day or NO_COUNT
        terms = Terms(burst, rate, per_day or 0)
        if isinstance(self.bucket, _SharedBucket):
            self.bucket.piece.change(terms)
            self.bucket.rate, self.bucket.burst, self.bucket.per_day = rate, burst, day
        else:
            piece = Slice(f"{self._scope}:requests", terms, self._counters)
            self.bucket = _SharedBucket(piece, rate, burst, day)

    def _change_tokens(self, per_minute: int | None) -> None:
        if per_minute is None:
            self.tokens = None
            return
        terms = Terms(per_minute, per_minute / 60)
        if isinstance(self.tokens, _SharedTokens):
            self.tokens.piece.change(terms)
            self.tokens.per_minute = per_minute
        else:
            piece = Slice(f"{self._scope}:tokens", terms, self._counters)
            self.tokens = _SharedTokens(piece, per_minute)

    def _change_places(self, concurrent: int | None) -> None:
        self.concurrent = concurrent
        if concurrent is None:
            self._places = None
        elif self._places is None:
            piece = Slice(
                f"{self._scope}:places", Terms(concurrent, 0.0), self._counters, self._count
            )
            self._places = piece
        else:
            self._places.change(Terms(concurrent, 0.0))

    def _count(self) -> int:
        return self.running

    def enter(self, tokens: int) -> Refusal | None:
        """Begin a request that may use `tokens`; `leave` must follow unless it is refused."""
        places, running = self._places, self.running
        # The first half of each condition is what `Slice.place` does, without the call.
        if (
            places is not None
            and not (running < places.held and places.touched)
            and (wait_s := places.place(running))
        ):
            return Refusal(f"{self.concurrent} requests at the same time", wait_s)
        bucket = self.tokens
        if bucket is not None and (wait_s := bucket.take(tokens)):
            return Refusal(f"{bucket.per_minute} tokens a minute", wait_s)
        self.running = running + 1
        return None


class _SharedBucket(Bucket):
    """A bucket that is on the server."""

    __slots__ = ("piece",)

    def __init__(self, piece: Slice, rate: float, burst: int, per_day: int) -> None:
        self.piece = piece
        self.rate, self.burst, self.per_day = rate, burst, per_day

    def take(self) -> float:
        piece = self.piece
        if piece.free > 0 and piece.touched:  # as `Slice.take`, without the calls
            piece.free -= 1
            piece.used += 1
            return 0.0
        return piece.take(1)

    def put_back(self) -> None:
        self.piece.put_back(1)

    @property
    def left(self) -> int:
        return self.piece.available

    @property
    def left_today(self) -> int:
        return self.piece.available_today if self.piece.terms.per_day else self.per_day


class _SharedTokens(TokenBucket):
    """A bucket of tokens that is on the server."""

    __slots__ = ("piece",)

    def __init__(self, piece: Slice, per_minute: int) -> None:
        self.piece, self.per_minute = piece, per_minute

    def take(self, tokens: int) -> float:
        piece, tokens = self.piece, min(tokens, self.per_minute)
        if piece.free >= tokens and piece.touched:  # as `Slice.take`, without the call
            piece.free -= tokens
            piece.used += tokens
            return 0.0
        return piece.take(tokens)

    def correct(self, taken: int, used: int) -> None:
        self.piece.put_back(min(taken, self.per_minute) - used)

    @property
    def left(self) -> int:
        return self.piece.available

    @property
    def full_in_s(self) -> float:
        missing = self.per_minute - min(self.per_minute, self.piece.available)
        return missing * 60 / self.per_minute
