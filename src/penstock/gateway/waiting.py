"""A request that must wait a moment before it is known whether it may pass.

That is so when a purse of this gateway is empty and the database must be asked for more: at the
first request of a day, and when a budget comes to its end. It is the same with a slice of a limit
that several gateways share, and the server that counts for all.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from penstock.gateway.admission import Route
from penstock.gateway.answer import Answer, Client
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charge, Charges, Short
from penstock.gateway.demand import Demand
from penstock.gateway.faults import fault_of
from penstock.gateway.overspending import over_budget
from penstock.gateway.ratelimits import limit_headers
from penstock.gateway.refusals import reason_of
from penstock.gateway.standing import Standing
from penstock.ground.errors import LimitExceeded, PenstockError
from penstock.registry.counters.slices import Empty

_TRIES = 12
"""There are up to three limits and four budgets, each of a tenant and a key, and the model's."""
T = TypeVar("T")

log = logging.getLogger("penstock.gateway")


class Waiting(Standing):
    """Stands for an answer until that can begin."""

    def __init__(
        self,
        client: Client,
        charges: Charges,
        begin: Callable[[], Answer],
        cause: Short | Empty,
        who: tuple[Caller, str],
    ) -> None:
        """`who` asks for which model; it is empty where that is not read yet."""
        super().__init__()
        self._client, self._charges, self._begin = client, charges, begin
        self._caller, self._model = who
        self._task = asyncio.create_task(self._wait(cause))

    async def _wait(self, cause: Short | Empty) -> None:
        try:
            self._hand_over(await self._begun(cause))
        except PenstockError as error:
            fault = fault_of(error)
            self._charges.meters.refuse(fault.status)
            if not error.accounted:
                self._write("refused", reason_of(error))
            self._client.headers_out = limit_headers(self._caller)
            self._client.fail(fault)
        except Exception as error:
            log.exception("request %s failed", self._client.request_id.decode())
            self._client.fail(fault_of(error))

    async def _begun(self, cause: Short | Empty) -> Answer:
        for _ in range(_TRIES):
            await _learn(self._charges, cause)
            try:
                return self._begin()
            except (Short, Empty) as still:
                cause = still
        raise _undecided(self._charges, cause)

    def _write(self, outcome: str, why: str = "") -> None:
        self._charges.refused(self._caller, self._model, self._client.request_id, why, outcome)

    def _cancel(self) -> None:
        if self._task.cancel():
            self._write("client_gone")

    def _expire(self) -> None:
        if self._task.cancel():
            self._write("timeout")
            self._client.fail(fault_of(TimeoutError()))


async def open_patiently(
    charges: Charges, caller: Caller, route: Route, asked: tuple[bytes, bytes], demand: Demand
) -> Charge:
    """Open a charge, and wait where only the database or the counters can tell.

    `asked` is the request's id and its path. Raises as `Charges.open` does, but for `Short` and
    `Empty`.
    """
    request_id, path = asked
    return await patiently(charges, lambda: charges.open(caller, route, request_id, demand, path))


async def patiently(charges: Charges, attempt: Callable[[], T]) -> T:
    """Return what `attempt` does, as soon as purses and slices are full enough to tell.

    Raises:
        LimitExceeded: that could not be told.
    """
    for _ in range(_TRIES):
        try:
            return attempt()
        except (Short, Empty) as still:
            cause: Short | Empty = still
        await _learn(charges, cause)
    raise _undecided(charges, cause)


async def _learn(charges: Charges, cause: Short | Empty) -> None:
    if isinstance(cause, Empty):
        await cause.ask()
    elif charges.clerk is not None:
        await charges.clerk.grow(cause.bill.purse, cause.bill.amount)


def _undecided(charges: Charges, cause: Short | Empty) -> LimitExceeded:
    if isinstance(cause, Short):
        return over_budget(cause.bill, charges.wall())
    return LimitExceeded(
        "a limit has been reached", why="others were faster, again and again", retry_after_s=1.0
    )
