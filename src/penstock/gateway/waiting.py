"""A request that must wait a moment before it is known whether it may pass.

That is so when a purse of this gateway is empty and the database must be asked for more: at the
first request of a day, and when a budget comes to its end. It is the same with a slice of a limit
that several gateways share, and the server that counts for all. And where requests end faster than
the ledger is written, so that there is no room for another one, it waits until there is.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from penstock.gateway.admission import Route
from penstock.gateway.answer import Answer, Client
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charge, Charges
from penstock.gateway.demand import Demand
from penstock.gateway.faults import fault_of
from penstock.gateway.overspending import over_budget
from penstock.gateway.ratelimits import limit_headers
from penstock.gateway.refusals import reason_of
from penstock.gateway.standing import Standing
from penstock.gateway.till import Short
from penstock.ground.errors import LimitExceeded, NoRoom, PenstockError
from penstock.registry.counters.slices import Empty

_TRIES = 12
"""There are up to three limits and four budgets, each of a tenant and a key, and the model's."""
_FOR_ROOM_S = 2.0
"""So long a request waits for room in the ledger."""
T = TypeVar("T")
Cause = Short | Empty | NoRoom

log = logging.getLogger("penstock.gateway")


class Waiting(Standing):
    """Stands for an answer until that can begin."""

    def __init__(
        self,
        client: Client,
        charges: Charges,
        begin: Callable[[], Answer],
        cause: Cause,
        who: tuple[Caller, str],
    ) -> None:
        """`who` asks for which model; it is empty where that is not read yet."""
        super().__init__()
        self._client, self._charges, self._begin = client, charges, begin
        self._caller, self._model = who
        self._task = asyncio.create_task(self._wait(cause))

    async def _wait(self, cause: Cause) -> None:
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

    async def _begun(self, cause: Cause) -> Answer:
        patience = _Patience(self._charges)
        while True:
            await patience.learn(cause)
            try:
                return self._begin()
            except (Short, Empty, NoRoom) as still:
                cause = still

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
    `Empty`, and for `NoRoom` only after a while.
    """
    request_id, path = asked
    return await patiently(charges, lambda: charges.open(caller, route, request_id, demand, path))


async def patiently(charges: Charges, attempt: Callable[[], T]) -> T:
    """Return what `attempt` does, as soon as purses and slices are full enough to tell.

    Raises:
        LimitExceeded: that could not be told.
        NoRoom: there was no room in the ledger for long.
    """
    patience = _Patience(charges)
    while True:
        try:
            return attempt()
        except (Short, Empty, NoRoom) as still:
            cause: Cause = still
        await patience.learn(cause)


class _Patience:
    """How often one request asks, and how long it waits for room, in all."""

    def __init__(self, charges: Charges) -> None:
        self._charges = charges
        self._tries = 0
        self._until_s: float | None = None

    async def learn(self, cause: Cause) -> None:
        """Do what can be done about `cause`; then it is worth trying again.

        Raises:
            PenstockError: it is not.
        """
        clerk = self._charges.clerk
        if isinstance(cause, NoRoom):
            now_s = self._charges.clock()
            until_s = self._until_s = self._until_s or now_s + _FOR_ROOM_S
            if clerk is None or now_s >= until_s:
                raise cause
            await clerk.room(cause, until_s - now_s)
            return
        self._tries += 1
        if self._tries > _TRIES:
            raise _undecided(self._charges, cause)
        if isinstance(cause, Empty):
            await cause.ask()
        elif clerk is not None:
            await clerk.grow(cause.purse, cause.amount)


def _undecided(charges: Charges, cause: Short | Empty) -> LimitExceeded:
    if isinstance(cause, Short):
        return over_budget(cause.purse, cause.amount, cause.bill, charges.wall())
    return LimitExceeded(
        "a limit has been reached", why="others were faster, again and again", retry_after_s=1.0
    )
