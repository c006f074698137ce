"""Budgets as the hot path sees them: amounts that this gateway has leased and may spend.

A purse never holds more than its lease. A request takes its worst case out of it, and puts back
what it did not need. Whoever finds a purse too light waits for the lease to grow, or is refused.
"""

import calendar
import time
from collections.abc import Iterable

from penstock.ground.clock import Clock
from penstock.registry.records import NANO, Budgets, windows_of
from penstock.registry.stores.ports import LeaseId

_SHARE = 64
"""A purse is filled with a sixty-fourth of its budget at a time, where its use is not higher."""
_REFUSAL_HOLDS_S = 0.25

Worst = tuple[int, int]
"""The most that a request can take: tokens, nano-dollars. `worst[purse.is_usd]` is a purse's."""


class Purse:
    """What this gateway holds of one budget in one window; nano-dollars or tokens.

    `held` is the lease as the database knows it. Of that, `free` may be spent; the rest is
    reserved, or spent and `due` (settled, not yet written to the database).
    """

    __slots__ = (
        "alarm",
        "alarmed",
        "cap",
        "due",
        "free",
        "held",
        "is_usd",
        "lease",
        "left",
        "refused_until_s",
        "reserved",
        "touched",
        "used_s",
    )

    def __init__(self, lease: LeaseId, cap: int, alarm: float) -> None:
        self.lease, self.cap, self.alarm = lease, cap, alarm
        self.is_usd = lease.unit == "usd"
        self.free = self.held = self.due = self.reserved = 0
        self.left = cap  # what nobody holds, as last heard
        self.refused_until_s = 0.0
        self.touched = False
        """Whether it was asked for anything since the clerk looked last, which was at `used_s`."""
        self.used_s = 0.0
        self.alarmed = False

    def take(self, amount: int) -> bool:
        """Reserve `amount`; false leaves everything as it was."""
        if self.free < amount:
            return False
        self.free -= amount
        self.reserved += amount
        return True

    def put_back(self, amount: int) -> None:
        """Undo `take`."""
        self.free += amount
        self.reserved -= amount

    def settle(self, reserved: int, actual: int) -> None:
        """Spend `actual` of what was reserved."""
        self.reserved -= reserved
        self.free += reserved - actual
        self.due += actual

    def is_low(self, amount: int) -> bool:
        """Whether more should be leased before it runs out."""
        return self.free < 8 * amount and self.left > 0

    def wanted(self, amount: int) -> tuple[int, int]:
        """Return the least and the most it should hold for `amount` to pass."""
        least = self.held + max(0, amount - self.free)
        return least, least + max(self.cap // _SHARE, 32 * amount)

    def granted(self, held: int, left: int, now_s: float) -> None:
        """The lease is `held` now, and `left` is what nobody holds."""
        if held <= self.held:
            self.refused_until_s = now_s + _REFUSAL_HOLDS_S
        self.free += held - self.held
        self.held, self.left = held, left

    def written(self, due: int) -> None:
        """`due` has moved from the lease to the ledger."""
        self.held -= due

    def spare(self) -> int:
        """Return what a purse at rest may give back."""
        return max(0, self.free)

    def gives(self, amount: int) -> None:
        """Give `amount` back: it may not be spent any more."""
        self.free -= amount

    @property
    def is_alarming(self) -> bool:
        """Whether the alarm's share of the budget is used: what nobody holds or has free."""
        return self.committed >= self.alarm * self.cap

    def sound(self) -> str | None:
        """Return what to tell of the alarm, once."""
        if self.alarmed or not self.is_alarming:
            return None
        self.alarmed = True
        share = 100 * self.committed / max(1, self.cap)
        money = "dollars" if self.is_usd else "tokens"
        return (
            f"budget alarm: {self.lease.scope} has used {share:.0f} % of its {money} "
            f"in {self.lease.window}"
        )

    @property
    def committed(self) -> int:
        """What is spent, reserved, or held by other gateways."""
        return self.cap - self.left - self.free


class Purses:
    """The purses of one tenant or key in the current windows."""

    __slots__ = ("_begins_s", "_budgets", "_ends_s", "_scope", "now", "retired", "wall")

    def __init__(self, scope: str, budgets: Budgets, wall: Clock) -> None:
        self._scope, self._budgets, self.wall = scope, budgets, wall
        self._begins_s = self._ends_s = 0.0
        self.now: tuple[Purse, ...] = ()
        self.retired: list[Purse] = []

    @property
    def is_needed(self) -> bool:
        """Whether there is any budget."""
        given = self._budgets
        return any(
            bound is not None
            for bound in (
                given.usd_per_day,
                given.usd_per_month,
                given.tokens_per_day,
                given.tokens_per_month,
            )
        )

    def current(self, now_s: float) -> tuple[Purse, ...]:
        """Return the purses of this day and month; old ones are retired when a day begins.

        When a clock was set back they come out of retirement: of one lease there is one purse.
        """
        if not self._begins_s <= now_s < self._ends_s:
            self._turn(now_s)
        return self.now

    def change(self, budgets: Budgets) -> None:
        """Take new bounds; what is held of the old ones stays held until it is written."""
        if budgets == self._budgets:
            return
        self._budgets = budgets
        self._ends_s = 0.0

    def _turn(self, now_s: float) -> None:
        day, month = windows_of(now_s)
        given, old = self._budgets, {purse.lease: purse for purse in (*self.retired, *self.now)}
        bounds = (
            ("usd", day, _nano(given.usd_per_day)),
            ("usd", month, _nano(given.usd_per_month)),
            ("tokens", day, given.tokens_per_day),
            ("tokens", month, given.tokens_per_month),
        )
        kept = []
        for unit, window, cap in bounds:
            if cap is None:
                continue
            lease = LeaseId(self._scope, unit, window)
            purse = old.pop(lease, None) or Purse(lease, cap, given.alarm)
            purse.cap, purse.alarm = cap, given.alarm
            kept.append(purse)
        self.retired = list(old.values())
        self.now = tuple(kept)
        self._begins_s = float(calendar.timegm(time.strptime(day, "%Y-%m-%d")))
        self._ends_s = self._begins_s + 86_400


def _nano(usd: float | None) -> int | None:
    return None if usd is None else int(usd * NANO)


def window_ends_s(window: str) -> float:
    """Return the Unix time at which a day or month (UTC) is over."""
    if len(window) == len("2026-11-21"):
        return float(calendar.timegm(time.strptime(window, "%Y-%m-%d")) + 86_400)
    year, month = int(window[:4]), int(window[5:])
    year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return float(calendar.timegm((year, month, 1, 0, 0, 0)))


def put_back(purses: Iterable[Purse], worst: Worst) -> None:
    """Put back everything of a reservation that is not made."""
    for purse in purses:
        purse.put_back(worst[purse.is_usd])
