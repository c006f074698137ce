"""A request that must wait a moment before it is known whether its budget reaches for it.

That is so when a purse of this gateway is empty and the database must be asked for more: at the
first request of a day, and when a budget comes to its end.
"""

import asyncio
import logging
from collections.abc import Callable

from penstock.gateway.admission import Route
from penstock.gateway.answer import Answer, Client
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charge, Charges, Short, over_budget
from penstock.gateway.demand import Demand
from penstock.gateway.faults import fault_of
from penstock.ground.errors import PenstockError

_TRIES = 4

log = logging.getLogger("penstock.gateway")


class Waiting:
    """Stands for an answer until that can begin. Satisfies `answer.Answer`."""

    def __init__(
        self,
        client: Client,
        charges: Charges,
        begin: Callable[[], Answer],
        short: Short,
        caller: Caller,
    ) -> None:
        self._client, self._charges, self._begin, self._caller = client, charges, begin, caller
        self._answer: Answer | None = None
        self._paused = False
        self._task = asyncio.create_task(self._wait(short))

    async def _wait(self, short: Short) -> None:
        try:
            await self._begin_when_covered(short)
        except PenstockError as error:
            fault = fault_of(error)
            self._charges.meters.refuse(fault.status)
            if not error.accounted:
                self._charges.refused(self._caller, "", self._client.request_id)
            self._client.fail(fault)
        except Exception as error:
            log.exception("request %s failed", self._client.request_id.decode())
            self._client.fail(fault_of(error))

    async def _begin_when_covered(self, short: Short) -> None:
        clerk = self._charges.clerk
        for _ in range(_TRIES):
            if clerk is None:
                break
            await clerk.grow(short.purse, short.amount)
            try:
                self._answer = self._begin()
            except Short as still:
                short = still
                continue
            if self._paused:
                self._answer.pause()
            return
        raise over_budget(short.purse, short.amount, self._charges.wall())

    def cancel(self) -> None:
        """Answer: the client has left."""
        if self._answer is not None:
            self._answer.cancel()
        else:
            self._task.cancel()

    def expire(self) -> None:
        """Answer: time is up."""
        if self._answer is not None:
            self._answer.expire()
        else:
            self._task.cancel()
            self._client.fail(fault_of(TimeoutError()))

    def pause(self) -> None:
        """Answer: the client reads slowly."""
        self._paused = True
        if self._answer is not None:
            self._answer.pause()

    def resume(self) -> None:
        """Answer: the client has caught up."""
        self._paused = False
        if self._answer is not None:
            self._answer.resume()


async def open_patiently(
    charges: Charges, caller: Caller, route: Route, request_id: bytes, demand: Demand
) -> Charge:
    """Open a charge, and wait for the clerk where a purse is too light to tell.

    Raises as `Charges.open` does, but for `Short`.
    """
    for _ in range(_TRIES):
        try:
            return charges.open(caller, route, request_id, demand)
        except Short as still:
            short = still
        if charges.clerk is None:
            break
        await charges.clerk.grow(short.purse, short.amount)
    raise over_budget(short.purse, short.amount, charges.wall())
