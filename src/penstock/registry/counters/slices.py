"""Limits that several gateways share: what one replica holds of them.

The problem: a limit must hold for all replicas together, and a request must not wait for a round
trip to a server that counts. The idea: the server has a bucket for each limit, and each replica
holds a slice of it, so many requests or tokens that it may let through by itself. What is out in
slices still fills the bucket, until the replica reports it as used; so level and slices together
never exceed the capacity, and over any time no more passes, in all replicas together, than the
capacity and what flowed in: the same as with one gateway, and exactly so. Replicas report and ask
in the background, all limits in one call; only who finds a slice empty asks at once, and one who
was told that the whole is empty does not ask again before something can have flowed in.

What is given up: who is refused may be refused a little early, for what lies unused in another
replica's slice: at most an eighth of the bucket in each, given back after a second of rest. The
day's count takes what a killed replica held for used. Time is the server's alone; replicas use
their own clocks for durations only.

Without the server each replica goes on with its part of the limit, by the count of replicas last
heard. Then all of them together keep the limit; a single one that cannot reach a server that
others still use adds its part. Limits of requests at the same time allow at least one a replica.
A server that has lost its memory learns the day's count from what the replicas last heard of it;
of the other limits it forgets what was used, so that a burst more may pass.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from penstock.ground.clock import Clock

_PART = 8
"""A slice is filled to an eighth of the bucket at most, where no request needs more."""
_REST_BEATS, _FREE_PLACES_REST_BEATS = 10, 2
_LONGEST_REFUSAL_S = 2.0
_DAY_S = 86_400


class Empty(Exception):
    """A slice holds too little to tell; the server must be asked for `amount`."""

    def __init__(self, piece: "Slice", amount: int) -> None:
        super().__init__(piece.key)
        self.piece, self.amount = piece, amount

    async def ask(self) -> None:
        """Wait until the server was asked."""
        await self.piece.company.ask(self.piece, self.amount)

    def ask_later(self) -> None:
        """Have the server asked with the next report, for the next one who comes."""
        self.piece.need += self.amount
        self.piece.company.touch(self.piece)


class Terms(NamedTuple):
    """A limit: what its bucket holds, what flows in a second, requests a day.

    Without flow (`rate` 0) it is a number of places; `per_day` 0 is no bound.
    """

    capacity: int
    rate: float
    per_day: int = 0


class Report(NamedTuple):
    """What a replica tells of one limit and asks for; see `slices.lua`.

    `back` and `debt` are told again until an answer comes; exchange `since` told them first.
    """

    key: str
    terms: Terms
    answered: int
    free: int
    back: int
    debt: int
    need: int
    want: int
    held: int
    level: float
    left: int
    day: int
    since: int


class Grant(NamedTuple):
    """What a replica holds after an exchange, what nobody holds, and how long to wait for more."""

    held: int
    level: float
    left: int
    wait_s: float


class Answer(NamedTuple):
    """The server's answer to the reports of one exchange, in their order."""

    replicas: int
    day: int
    grants: list[Grant]


class Company(Protocol):
    """What a slice must know of the replica that it is part of."""

    online: bool
    replicas: int
    clock: Clock
    wall: Clock

    def touch(self, piece: "Slice") -> None:
        """The slice was used and must be reported."""

    async def ask(self, piece: "Slice", amount: int) -> None:
        """Wait until the server was asked for `amount` more, or is known to be away."""


class Slice:
    """What this replica holds of one limit. `free` of it may be used without asking anybody."""

    __slots__ = (
        "_alone",
        "_answered",
        "_back",
        "_day",
        "_debt",
        "_dry_s",
        "_heard_s",
        "_hold",
        "_pace",
        "_refused_s",
        "_rested",
        "_running",
        "_since",
        "_told_debt",
        "company",
        "free",
        "held",
        "key",
        "left",
        "level",
        "need",
        "terms",
        "touched",
        "used",
    )

    def __init__(
        self, key: str, terms: Terms, company: Company, running: Callable[[], int] | None = None
    ) -> None:
        """`running` counts those who were in places at the same time since it was asked last, of
        a limit without flow; of that, `held` is what counts, and of others `free`."""
        self.key, self.terms, self.company, self._running = key, terms, company, running
        self.free = self.held = self.need = 0
        self.level, self.left = float(terms.capacity), -1  # as last heard
        self._heard_s: float | None = None
        self.touched = False
        self._answered = self._day = self._debt = self._hold = self.used = 0
        self._pace = self._rested = 0
        self._back = self._told_debt = self._since = 0  # told, and not known to have been heard
        self._refused_s = self._dry_s = 0.0
        self._alone: _Alone | None = None

    def change(self, terms: Terms) -> None:
        """Take a new limit; what was used of the old one stays used."""
        self.terms = terms
        self._dry_s = 0.0
        self._alone = None

    # The hot path

    def take(self, amount: int) -> float:
        """Take `amount`; return 0.0, or the seconds to wait when there is none.

        Raises:
            Empty: only the server can tell.
        """
        if self.free >= amount:
            self.free -= amount
            self.used += amount
            if not self.touched:
                self.company.touch(self)
            return 0.0
        return self._without(amount)

    def put_back(self, amount: int) -> None:
        """Undo `take`, or take off what was not used of it; more than was taken is a debt."""
        if self.company.online or self._alone is None:
            self.free += amount
            self.used -= amount
            if not self.touched:
                self.company.touch(self)
        else:
            self._alone.level += amount

    def place(self, running: int) -> float:
        """Take a place beside `running` others; return and raise as `take` does."""
        if running < self.held:
            if not self.touched:
                self.company.touch(self)
            return 0.0
        if not self.company.online:
            return 0.0 if running < max(1, self.terms.capacity // self.company.replicas) else 1.0
        return self._without(1)

    def _without(self, amount: int) -> float:
        company = self.company
        if not company.online:
            return self._by_itself(amount)
        now_s = company.clock()
        if now_s < self._dry_s:
            return max(0.001, self._refused_s - now_s)
        raise Empty(self, amount)

    def _by_itself(self, amount: int) -> float:
        if self._alone is None:
            self._alone = _Alone(self.terms, self.company, self.level_now, self.left)
        wait_s = self._alone.take(amount)
        if not wait_s and self.terms.per_day:
            self._debt += amount
        return wait_s

    @property
    def available(self) -> int:
        """What may be taken of the whole right now, as far as it is known here."""
        if not self.company.online and self._alone is not None:
            return max(0, int(self._alone.level))
        left = int(self.level) + self.free
        return left if left > 0 else 0

    @property
    def level_now(self) -> float:
        """What nobody holds: as last heard, with what has flowed in since; below 0: never heard.

        Where the server is away, or has lost its memory, this is gone by: the end of a flood would
        else refuse requests long after it.
        """
        if self._heard_s is None:
            return -1.0
        flowed = self.terms.rate * (self.company.clock() - self._heard_s)
        return max(0.0, min(float(self.terms.capacity), self.level + flowed))

    @property
    def available_today(self) -> int:
        """What is left of the day, as far as it is known here."""
        if self.left < 0:
            return self.terms.per_day
        return max(0, self.left + self.free)

    # Exchanges with the server

    def report(self, number: int, *, beat: bool) -> Report:
        """Return what the server is told in exchange `number`; `heard` or `unheard` must follow.

        `beat`: this is one of the regular reports, which look back on the time between them.
        """
        if beat:
            self._look_back()
        if not self._since:
            self._told_debt = self._debt
            self._since = number if self._back or self._debt else 0
        free = self.free if self._running is None else self.held
        left = self.left if self.terms.per_day else -1
        return Report(
            self.key, self.terms, self._answered, free, self._back, self._told_debt, self.need,
            self._wanted(), self._hold, self.level_now, left, self._day, self._since or number,
        )  # fmt: skip

    def _look_back(self) -> None:
        """Decide what is given back: nothing while it is not known what became of the last."""
        if self._running is not None:
            running = self._running()
            self._rested = 0 if running >= self.held or self.need else self._rested + 1
            if self._rested >= _FREE_PLACES_REST_BEATS and not self._since:
                keep = max(running, self.held * 7 // 8)
                self._back, self.held = self.held - keep, keep
            return
        self._rested = 0 if self.used > 0 or self.need else self._rested + 1
        self._pace = max(self.used, self._pace * 3 // 4)
        self.used = 0
        if self._rested >= _REST_BEATS and self.free > 0 and not self._since:
            self._back, self.free = self.free, 0

    def _wanted(self) -> int:
        if self._running is not None:
            return self.need
        most = min(2 * max(self._pace, self.used), self.terms.capacity // _PART)
        return max(0, most - max(0, self.free)) if not self._rested else 0

    def heard(self, report: Report, number: int, day: int, grant: Grant) -> None:
        """The server has answered `report`, in exchange `number`."""
        self._answered, self._day = number, day
        self.level, self.left = grant.level, grant.left
        self._heard_s = self.company.clock()
        self.need -= report.need
        self._debt -= report.debt
        self._back = self._told_debt = self._since = 0
        self._hold = grant.held
        got = grant.held - report.free
        if self._running is None:
            self.free += got
        else:
            self.held += got
        if report.need:
            self._rested = 0
        self._alone = None
        self._dry_s = 0.0
        if grant.wait_s > 0:
            now_s = self.company.clock()
            self._refused_s = now_s + grant.wait_s
            self._dry_s = now_s + min(grant.wait_s, _LONGEST_REFUSAL_S)

    def unheard(self, report: Report) -> None:
        """No answer came."""
        self.need -= report.need

    def end(self) -> None:
        """Hold on to nothing any more: the next report gives everything back."""
        if self._running is not None:
            self._running, self.held = lambda: 0, 0
        self._rested, self.used = _REST_BEATS, 0

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is held, so that nothing must be reported."""
        if self._running is not None:
            return self.held == self.need == self._since == 0
        rests = self.used == self._debt == self.need == 0 and self._rested > 0
        return rests and self.free == self._since == 0


class _Alone:
    """A replica's own part of a limit, while there is no server."""

    __slots__ = ("_capacity", "_company", "_day", "_left", "_per_day", "_rate", "_seen_s", "level")

    def __init__(self, terms: Terms, company: Company, level: float, left: int) -> None:
        parts = company.replicas
        self._company = company
        self._capacity, self._rate = max(1.0, terms.capacity / parts), terms.rate / parts
        self._per_day = max(1, terms.per_day // parts) if terms.per_day else 0
        self.level = self._capacity if level < 0 else min(self._capacity, max(0.0, level / parts))
        self._left = self._per_day if left < 0 else max(0, left // parts)
        self._seen_s, self._day = company.clock(), int(company.wall() // _DAY_S)

    def take(self, amount: int) -> float:
        now_s, wall_s = self._company.clock(), self._company.wall()
        flow = (now_s - self._seen_s) * self._rate
        self.level, self._seen_s = min(self._capacity, self.level + flow), now_s
        day = int(wall_s // _DAY_S)
        if day != self._day:
            self._left = self._per_day if day > self._day else self._left
            self._day = day
        needed = min(float(amount), self._capacity)
        if self.level < needed:
            return (needed - self.level) / self._rate if self._rate else 1.0
        if self._per_day and self._left < amount:
            return (self._day + 1) * _DAY_S - wall_s
        self.level -= needed
        self._left -= amount
        return 0.0
