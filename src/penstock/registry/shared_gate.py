"""A gate whose limits hold for several gateways together: what it lets in is in its slices.

Each request comes here six times, so what slices do nearly always is done here without a call.
"""

from penstock.registry.counters.exchange import Counters
from penstock.registry.counters.memory import Bucket
from penstock.registry.counters.slices import Slice, Terms
from penstock.registry.counters.tokens import TokenBucket
from penstock.registry.gate import Gate, Refusal, terms_of
from penstock.registry.records import Limits


class SharedGate(Gate):
    """Satisfies what is asked of a `Gate`; may raise `slices.Empty` where that decides."""

    __slots__ = ("_counters", "_most", "_places", "_requests", "_scope", "_tokens")

    def __init__(self, counters: Counters, scope: str, limits: Limits) -> None:
        self._scope, self._counters = scope, counters
        self._places: Slice | None = None
        self._requests: Slice | None = None
        self._tokens: Slice | None = None
        self._most = 0  # at the same time, since the last look
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
        found = terms_of(limits)
        if found is None:
            self.bucket = self._requests = None
            return
        rate, burst, day = found
        terms = Terms(burst, rate, limits.requests_per_day or 0)
        if isinstance(self.bucket, _SharedBucket):
            self.bucket.piece.change(terms)
            self.bucket.rate, self.bucket.burst, self.bucket.per_day = rate, burst, day
        else:
            piece = self._requests = Slice(f"{self._scope}:requests", terms, self._counters)
            self.bucket = _SharedBucket(piece, rate, burst, day)

    def _change_tokens(self, per_minute: int | None) -> None:
        if per_minute is None:
            self.tokens = self._tokens = None
            return
        terms = Terms(per_minute, per_minute / 60)
        if isinstance(self.tokens, _SharedTokens):
            self.tokens.piece.change(terms)
            self.tokens.per_minute = per_minute
        else:
            piece = self._tokens = Slice(f"{self._scope}:tokens", terms, self._counters)
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
        """Return how many places were needed since the last look: the next burst needs as many."""
        most, self._most = self._most, self.running
        return most

    def request(self) -> Refusal | None:
        """Count one request; a refusal leaves everything as it was."""
        piece = self._requests
        if piece is not None and piece.free > 0 and piece.touched:  # as `Slice.take`
            piece.free -= 1
            piece.used += 1
            return None
        return super().request()

    def enter(self, tokens: int) -> Refusal | None:
        """Begin a request that may use `tokens`; `leave` must follow unless it is refused."""
        places, running, piece = self._places, self.running, self._tokens
        # The first half of each condition is what `Slice.place` does.
        if (
            places is not None
            and not (running < places.held and places.touched)
            and (wait_s := places.place(running))
        ):
            return Refusal(f"{self.concurrent} requests at the same time", wait_s)
        if piece is not None:
            if tokens <= piece.free and tokens <= piece.terms.capacity and piece.touched:
                piece.free -= tokens  # as `Slice.take`
                piece.used += tokens
            elif self.tokens is not None and (wait_s := self.tokens.take(tokens)):
                return Refusal(f"{self.tokens.per_minute} tokens a minute", wait_s)
        self.running = running + 1
        if running >= self._most:
            self._most = running + 1
        return None

    def leave(self, taken: int, used: int) -> None:
        """End a request: it had taken `taken` tokens and has used `used`."""
        self.running -= 1
        piece = self._tokens
        if piece is not None:
            most = piece.terms.capacity
            taken = taken if taken < most else most
            if piece.touched and piece.company.online:  # as `Slice.put_back`
                piece.free += taken - used
                piece.used -= taken - used
            else:
                piece.put_back(taken - used)


class _SharedBucket(Bucket):
    """A bucket that is on the server."""

    __slots__ = ("piece",)

    def __init__(self, piece: Slice, rate: float, burst: int, per_day: int) -> None:
        self.piece = piece
        self.rate, self.burst, self.per_day = rate, burst, per_day

    def take(self) -> float:
        return self.piece.take(1)

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
        return self.piece.take(min(tokens, self.per_minute))

    def correct(self, taken: int, used: int) -> None:
        self.piece.put_back(min(taken, self.per_minute) - used)

    def state(self) -> tuple[int, float]:
        left = self.piece.available
        missing = self.per_minute - left
        return left, missing * 60 / self.per_minute if missing > 0 else 0.0
