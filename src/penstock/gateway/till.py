"""Where the worst case of a request is taken out of purses: out of all of them, or out of none."""

from collections.abc import Sequence

from penstock.gateway.admission import Route
from penstock.gateway.caller import Caller
from penstock.gateway.demand import Demand
from penstock.gateway.overspending import Bill, over_budget
from penstock.ground.clock import Clock
from penstock.registry.clerk import Clerk
from penstock.registry.purse import Purse, Worst, put_back

What = tuple[Route, Demand]
"""What is reserved for; a `Bill` is made of it where a purse is not full."""


class Short(Exception):
    """A purse holds too little to tell; the clerk must be asked for `amount`."""

    def __init__(self, purse: Purse, amount: int, bill: Bill) -> None:
        super().__init__(purse.lease)
        self.purse, self.amount, self.bill = purse, amount, bill


class Till:
    """Reserves."""

    def __init__(self, clerk: Clerk | None, clock: Clock, wall: Clock) -> None:
        self._clerk, self._clock, self._wall = clerk, clock, wall

    def reserve(self, caller: Caller, worst: Worst, what: What, now_s: float) -> tuple[Purse, ...]:
        """Reserve in every purse of a caller who has any, and return them.

        Raises:
            LimitExceeded: a budget is reached.
            Short: a purse must grow before it is known.
        """
        all_of = caller.purses
        purses = all_of[0].current(now_s)
        for each in all_of[1:]:
            purses += each.current(now_s)
        self._take(purses, worst, what)
        return purses

    async def wait_for(self, purses: tuple[Purse, ...], worst: Worst, what: What) -> None:
        """Reserve in all of `purses`, and wait for the clerk where one holds too little.

        Raises:
            LimitExceeded: a budget does not reach for it.
            StoreUnavailable: the database was not reached.
        """
        taken = 0
        try:
            for purse in purses:
                await self._take_or_wait(purse, worst, what)
                taken += 1
        except BaseException:
            put_back(purses[:taken], worst)
            raise

    async def _take_or_wait(self, purse: Purse, worst: Worst, what: What) -> None:
        try:
            self._take((purse,), worst, what)
        except Short as short:
            if self._clerk is None:
                raise
            await self._clerk.grow(purse, short.amount)
        else:
            return
        try:
            self._take((purse,), worst, what)
        except Short as short:
            raise over_budget(purse, short.amount, short.bill, self._wall()) from None

    def _take(self, purses: Sequence[Purse], worst: Worst, what: What) -> None:
        for number, purse in enumerate(purses):
            amount = worst[purse.is_usd]
            if purse.free < 8 * amount:
                try:
                    self._see_to(purse, amount, what)
                except BaseException:
                    put_back(purses[:number], worst)
                    raise
            # As `Purse.take`, without the call.
            purse.free -= amount
            purse.reserved += amount
            purse.touched = True

    def _see_to(self, purse: Purse, amount: int, what: What) -> None:
        """Have a purse filled that is running low; raises where it holds too little now."""
        if purse.free < amount:
            bill = Bill(*what)
            if amount > purse.cap or self._clock() < purse.refused_until_s:
                raise over_budget(purse, amount, bill, self._wall())
            raise Short(purse, amount, bill)
        if purse.left > 0 and self._clerk is not None:
            self._clerk.ask_for(purse, amount)
