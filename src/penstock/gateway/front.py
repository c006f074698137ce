"""The front of one gateway: every hot request enters here and leaves with an answer on its way."""

from functools import partial
from typing import Final

from msgspec import UNSET, Raw

from penstock.chat.continuation import MARK_BYTES
from penstock.chat.wanted import is_judged, refuse_format
from penstock.gateway.admission import Admission, Route
from penstock.gateway.answer import Answer, Client
from penstock.gateway.caching import Caching
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charge, Charges
from penstock.gateway.demand import Asked, bounded, demand_of
from penstock.gateway.faults import fault_of
from penstock.gateway.fields import (
    ChatRequest,
    ask_for_usage,
    read_chat,
    read_completion,
)
from penstock.gateway.order import Order
from penstock.gateway.queueing import answer_in_turn
from penstock.gateway.ratelimits import limit_headers
from penstock.gateway.refusals import reason_of
from penstock.gateway.relay import Relay
from penstock.gateway.spans import About
from penstock.gateway.till import Short
from penstock.gateway.trip import Trip
from penstock.gateway.turns import Turns
from penstock.gateway.waiting import Waiting
from penstock.gateway.ways import Ways
from penstock.ground.errors import BudgetExceeded, LimitExceeded, NoRoom, PenstockError
from penstock.registry.counters.slices import Empty

CHAT: Final = b"/v1/chat/completions"
COMPLETIONS: Final = b"/v1/completions"
HOT_PATHS = frozenset((CHAT, COMPLETIONS))

Way = tuple[Caller, Route, Trip | str | None]
"""Who asks, which model, and how it is reached where that is more than least work: by a trip, or
straight as long as nothing fails, and then it is the name that was asked for."""


class Front:
    """Admits, reads, routes; then a `Relay` or a turn answers."""

    def __init__(
        self,
        admission: Admission,
        charges: Charges,
        turns: Turns,
        cache: Caching | None = None,
        ways: Ways | None = None,
    ) -> None:
        """Without a `cache` every request is computed; without `ways` no model has routing."""
        self._admission, self._charges, self._turns = admission, charges, turns
        self._cache, self._ways = cache, ways

    def begin(self, client: Client, path: bytes, secret: bytes | None, body: bytes) -> Answer:
        """Start answering one request.

        Raises:
            PenstockError: it is refused; nothing was sent to any engine.
        """
        caller, model = None, ""
        try:
            caller = self._admission.identify(secret, client.claimed_tenant)
            self._admission.admit(caller)
            request: Asked = read_chat(body) if path == CHAT else read_completion(body)
            model = request.model
            route = self._admission.resolve(caller, model)
            if route.routed:
                return self._answer_routed(client, path, (caller, model), request, body)
            return self._answer(client, path, (caller, route, None), request, body)
        except Empty as empty:
            if caller is None:
                raise
            if model:  # the model's own limit must be asked for
                for gate in caller.gates:
                    gate.put_back()
            return self._wait(client, path, (caller, model), body, empty)
        except PenstockError as error:
            self._charges.meters.refuse(fault_of(error).status)
            if caller is not None:
                client.headers_out = limit_headers(caller)
                if not error.accounted:
                    self._charges.refused(caller, model, client.request_id, reason_of(error))
            raise

    def begin_for(self, client: Client, path: bytes, caller: Caller, body: bytes) -> Answer:
        """Do what `begin` does, for a line of a batch: `caller` has no key to show.

        It can wait, so the limit that it must wait for is not written down as a refusal. Raises
        as `begin` does.
        """
        try:
            return self._enter(client, path, caller, body)
        except Empty as empty:
            return self._wait(client, path, (caller, ""), body, empty)
        except PenstockError as error:
            waits = isinstance(error, LimitExceeded) and not isinstance(error, BudgetExceeded)
            if not waits and not error.accounted:
                self._charges.refused(caller, "", client.request_id, reason_of(error))
            raise

    def _wait(
        self, client: Client, path: bytes, way: tuple[Caller, str], body: bytes, empty: Empty
    ) -> Answer:
        begin = partial(self._enter, client, path, way[0], body)
        return Waiting(client, self._charges, begin, empty, way)

    def _enter(self, client: Client, path: bytes, caller: Caller, body: bytes) -> Answer:
        """Do what `begin` does, for a caller that is known and had to wait."""
        self._admission.admit(caller)
        try:
            request: Asked = read_chat(body) if path == CHAT else read_completion(body)
            route = self._admission.resolve(caller, request.model)
            if route.routed:
                return self._answer_routed(client, path, (caller, request.model), request, body)
        except Empty:
            for gate in caller.gates:
                gate.put_back()
            raise
        return self._answer(client, path, (caller, route, None), request, body)

    def _answer_routed(
        self, client: Client, path: bytes, way: tuple[Caller, str], request: Asked, body: bytes
    ) -> Answer:
        caller, model = way
        if self._ways is None:
            raise AssertionError("a model with routing has ways")
        route = self._ways.straight(model)
        if route is not None:
            return self._answer_on(client, path, (caller, route, model), request, body)
        trip = self._ways.start(caller, model, request)
        return self._answer_on(client, path, (caller, trip.route, trip), request, body)

    def _answer_on(
        self,
        client: Client,
        path: bytes,
        way: Way,
        request: Asked,
        body: bytes,
        *,
        waits: bool = False,
    ) -> Answer:
        """Answer at the first model of the trip whose limits let the request in.

        A caller who `waits` is told why the request must wait.
        """
        caller, _, trip = way
        if trip is None:
            return self._answer(client, path, way, request, body, waits=waits)
        if isinstance(trip, str):
            try:
                return self._answer(client, path, way, request, body, waits=waits)
            except LimitExceeded as error:
                if isinstance(error, BudgetExceeded) or error.accounted or self._ways is None:
                    raise
                trip = self._ways.trip(caller, trip, request)
                if not trip.pass_over():
                    raise
        while True:
            try:
                told = caller, trip.route, trip
                return self._answer(client, path, told, request, body, waits=waits)
            except LimitExceeded as error:
                if isinstance(error, BudgetExceeded) or error.accounted or not trip.pass_over():
                    raise

    def _answer(
        self,
        client: Client,
        path: bytes,
        way: Way,
        request: Asked,
        body: bytes,
        *,
        waits: bool = False,
    ) -> Answer:
        caller, route, trip = way
        body = bounded(caller, request, body)
        demand = demand_of(request, body, route.context, budgeted=bool(caller.purses))
        try:
            charge = self._charges.open(caller, route, client.request_id, demand, path)
        except (Short, Empty, NoRoom) as cause:
            if waits:
                raise
            again = partial(self._answer_on, client, path, way, request, body, waits=True)
            return Waiting(client, self._charges, again, cause, (caller, route.model))
        client.headers_out = limit_headers(caller)
        try:
            if self._charges.tracer is not None:
                operation = "chat" if path == CHAT else "text_completion"
                about = (caller.name, request.model, operation, request.streams, route.model)
                charge.trace(
                    self._charges.tracer, About(client.headers, client.request_id, *about)
                )
            if isinstance(trip, Trip):
                charge.trip = trip
                trip.board(charge, client)
            elif trip is not None and self._ways is not None:
                self._ways.meters.routed(trip, route.model, "direct")
                charge.rescue = partial(self._ways.rescue, charge, client, trip, request)
            audit = self._charges.witnessed
            if audit is not None:
                client = audit.begin(client, charge, path, body)
            cache = self._cache
            if cache is not None and (
                client.tells_cache or cache.always or route.model in cache.models
            ):
                go = partial(self._go, path=path, charge=charge, request=request, body=body)
                return cache.answer(client, charge, (path, request, body), go)
            return self._go(client, path, charge, request, body)
        except PenstockError as error:
            charge.note(reason_of(error))
            charge.settle("refused", None, 0, 0.0)
            error.accounted = True
            raise
        except BaseException:
            charge.settle("failed", None, 0, 0.0)
            raise

    def _go(
        self, client: Client, path: bytes, charge: Charge, request: Asked, body: bytes
    ) -> Answer:
        if isinstance(request, ChatRequest):
            _check_format(request, charge.route)
        if isinstance(request, ChatRequest) and (
            (charge.caller.tools and request.leaves_tools_to_us)
            or MARK_BYTES in body
            or (request.tools and _is_parsed_here(request, charge.route))
            or (request.response_format is not UNSET and _is_judged_here(request, charge.route))
        ):
            if charge.rescue is not None:
                charge.trip, charge.rescue = charge.rescue(), None
            return self._turns.begin(client, charge, request.streams, body)
        streams = request.streams
        hide_usage = streams and not request.wants_usage
        if hide_usage:
            body = ask_for_usage(body, request)
        order = Order(path, body, charge.route, charge, streams, hide_usage)
        line = charge.route.line
        if line is not None and not line.lets_in(charge):
            meters = self._charges.meters
            return answer_in_turn(line, meters, client, charge, partial(Relay, client, order))
        return Relay(client, order)


def _is_parsed_here(request: ChatRequest, route: Route) -> bool:
    """Whether calls of the client's tools must be found in the engine's text."""
    return (
        route.traits.tools_format is not None
        and request.leaves_tools_to_us
        and request.n in (None, 1)
    )


def _check_format(request: ChatRequest, route: Route) -> None:
    asked = request.response_format
    if asked is not UNSET and not route.traits.takes_formats and isinstance(asked, Raw):
        refuse_format(asked, route.model)


def _is_judged_here(request: ChatRequest, route: Route) -> bool:
    """Whether the answer must be what the request's `response_format` says."""
    asked = request.response_format
    return route.traits.verifies and isinstance(asked, Raw) and is_judged(asked)
