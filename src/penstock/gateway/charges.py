"""The account of one request: opened before an engine is asked, settled however it ends.

To open one, every limit and every budget is asked, worst case first; whatever refuses, the others
get back what they gave. Nothing here waits: where a purse is too light to tell, `Short` is raised,
and `gateway/waiting.py` waits for the clerk and tries again.
"""

import time
from collections.abc import Callable
from math import ceil

from penstock.gateway.admission import Route
from penstock.gateway.asking import Journey
from penstock.gateway.auditing import Auditing, Watcher
from penstock.gateway.caller import Caller, Desk
from penstock.gateway.demand import Demand, round_of
from penstock.gateway.ends import OUTCOME, end_of
from penstock.gateway.line import Line, Place
from penstock.gateway.meters import Meter, Meters
from penstock.gateway.overspending import worst_of
from penstock.gateway.passage import NOTHING, Usage
from penstock.gateway.ratios import Ratios
from penstock.gateway.refusals import limit_reached
from penstock.gateway.spans import About, RequestSpan, Tracer
from penstock.gateway.till import Till
from penstock.ground.clock import Clock
from penstock.registry.clerk import Clerk
from penstock.registry.counters.slices import Empty
from penstock.registry.entries import KINDS, End
from penstock.registry.gate import Gate, enters_at_once
from penstock.registry.pricing import cost_of
from penstock.registry.purse import Purse, Worst, put_back
from penstock.registry.records import Price
from penstock.registry.slots import NO_ENGINE, WAYS, SlotFile, opening_of

_NOBODY = b"\0\0\0"


class Charges:
    """Opens charges."""

    def __init__(
        self,
        meters: Meters,
        clerk: Clerk | None,
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        tracer: Tracer | None = None,
    ) -> None:
        """Without a `clerk` only limits and metrics are kept: no budgets, no ledger."""
        self.meters, self.clerk, self.tracer = meters, clerk, tracer
        self.audit: Auditing | None = None
        self.slots: SlotFile | None = clerk.slots if clerk else None
        audits = self.slots is not None and self.slots.numbered
        self._ways = {w.encode(): n for n, w in enumerate(WAYS, 1)} if audits else {}
        self.clock, self.wall = clock, wall
        self.till = Till(clerk, clock, wall)
        self.ratios = Ratios()

    def open(
        self, caller: Caller, route: Route, request_id: bytes, demand: Demand, path: bytes = b""
    ) -> "Charge":
        """Open the account of one request, which came to `path`.

        Raises:
            LimitExceeded: a limit or a budget is reached.
            RequestError: a budget needs to know how long the answer may be.
            Short: a purse must grow before it is known.
            Empty: the server of the counters must be asked.
            NoRoom: usage cannot be recorded now.
        """
        now_s = self.wall()
        desk = caller.desks.get(route.model)
        if desk is None or desk.route is not route:
            desk = caller.desks[route.model] = self._furnish(caller, route)
        charge = Charge(self, caller, route, desk.meter)
        charge.demand = demand
        charge.prompt = prompt = self.ratios.guess(route.model, demand.body_bytes)
        charge.taken = taken = prompt + (demand.asked or 0)
        clerk, slots = self.clerk, self.slots
        if clerk is not None and caller.purses:
            charge.worst = worst = worst_of(route, demand)
            charge.purses = self.till.reserve(caller, worst, (route, demand), now_s)
        try:
            if desk.gates:
                charge.gates = self._enter(caller, desk.gates, taken, route.model)
            if slots is not None:
                opening = desk.openings.get(path)
                if opening is None:
                    opening = opening_of(route.price, 0, self._ways.get(path, 0))
                    desk.openings[path] = opening
                charge.slot = slots.begin(opening, request_id + desk.identity, prompt, now_s)
        except BaseException:
            put_back(charge.purses, charge.worst)
            for gate in charge.gates:
                gate.leave(taken, 0)
            raise
        if clerk is not None:
            clerk.used_s[caller.key_id] = now_s
        return charge

    def _furnish(self, caller: Caller, route: Route) -> Desk:
        gates = caller.gates if route.gate is None else (*caller.gates, route.gate)
        meter = self.meters.of(caller.name, route.model)
        return Desk(route, gates, meter, caller.identity + route.identity)

    @property
    def witnessed(self) -> Auditing | None:
        """The audit, where requests must be recorded in it; none where it is made of slots."""
        return None if self._ways else self.audit

    def refused(
        self, caller: Caller, model: str, request_id: bytes, why: str, outcome: str = "refused"
    ) -> None:
        """Write a request that was refused, or never began, into the ledger and the audit."""
        if self.audit is not None and not self._ways:
            self.audit.refused(caller, model, request_id, outcome, why)
        if self.slots is None or not self.slots.has_room:
            return
        text = request_id + caller.identity + _shortened(model) + b"\0"
        slot = self.slots.admit(text, 0, Price(), self.wall(), 0, self._ways.get(b"", 0))
        self.slots.note(slot, why.encode(errors="replace"))
        self.slots.settle(slot, End(OUTCOME[outcome], False, 0, 0, 0, 0, 0.0))

    def line(  # noqa: PLR0913  one parameter a column
        self,
        kind: str,
        caller: Caller,
        name: str,
        *,
        outcome: str,
        seconds: float,
        request_id: bytes,
        note: str = "",
        usage: Usage | None = None,
    ) -> None:
        """Write a line that is no request of a client's and costs it nothing.

        `kind` and `outcome` are of `KINDS` and `OUTCOMES`; `name` stands in the column `model`: a
        tool's name, or a model's. `request_id` must be this line's own, as `<request id>/<n>`. A
        shadow line names no tenant: nobody shall see it in its usage.

        Raises:
            StoreUnavailable: usage cannot be recorded.
        """
        if self.slots is None:
            return
        identity = _NOBODY if kind == "shadow" else caller.identity
        text = request_id + identity + _shortened(name) + b"\0"
        slot = self.slots.admit(text, 0, Price(), self.wall(), KINDS.index(kind))
        if note:
            self.slots.note(slot, note.encode(errors="replace"))
        used = usage or NOTHING
        counts = used.prompt_tokens, used.cached_tokens, used.completion_tokens or 0
        self.slots.settle(slot, End(OUTCOME[outcome], False, *counts, 0, seconds * 1000))

    @staticmethod
    def _enter(
        caller: Caller, gates: tuple[Gate, ...], tokens: int, model: str
    ) -> tuple[Gate, ...]:
        for number, gate in enumerate(gates):
            try:
                refusal = gate.enter(tokens)
            except Empty:
                for entered in gates[:number]:
                    entered.leave(tokens, 0)
                raise
            if refusal is not None:
                for entered in gates[:number]:
                    entered.leave(tokens, 0)
                raise limit_reached(caller, gate, refusal, model)
        return gates


class Charge:
    """One request's account; `settle` counts once, whatever is called again."""

    __slots__ = (
        "_charges",
        "caller",
        "demand",
        "gates",
        "meter",
        "open",
        "place",
        "prompt",
        "purses",
        "rescue",
        "route",
        "slot",
        "span",
        "taken",
        "trip",
        "watchers",
        "worst",
    )
    demand: Demand

    def __init__(self, charges: Charges, caller: Caller, route: Route, meter: Meter) -> None:
        self._charges, self.caller, self.route, self.meter = charges, caller, route, meter
        self.purses: tuple[Purse, ...] = ()
        self.worst: Worst = (0, 0)
        self.gates: tuple[Gate, ...] = ()
        self.place: Place | Line | None = None
        self.watchers: tuple[Watcher, ...] = ()
        self.span: RequestSpan | None = None
        self.trip: Journey | None = None
        self.rescue: Callable[[], Journey] | None = None
        """Makes the trip of a request that went straight, and cannot go on so."""
        self.slot = 0
        self.prompt = self.taken = 0
        self.open = True

    def trace(self, tracer: Tracer, about: About) -> None:
        """Let the request have a span, which ends when it does."""
        self.span = tracer.begin(about)

    def asked(self, engine: int) -> None:
        """Engine number `engine` has been asked."""
        if self.slot and self._charges.slots is not None:
            self._charges.slots.asked(self.slot, engine)

    @property
    def engine(self) -> int:
        """Number of the engine that was asked last; see `slots.NO_ENGINE`."""
        slots = self._charges.slots
        return slots.engine(self.slot) if self.slot and slots is not None else NO_ENGINE

    @property
    def noted(self) -> bytes:
        """The note of this request's line in the ledger."""
        slots = self._charges.slots
        return slots.noted(self.slot) if self.slot and slots is not None else b""

    def first_byte(self, seconds: float) -> None:
        """The client gets its first bytes, `seconds` after it asked."""
        self.meter.ttft.add(seconds)
        if self.span is not None:
            self.span.first_byte(seconds)
        if self.slot and self._charges.slots is not None:
            self._charges.slots.first_byte(self.slot, seconds * 1000)

    def passed(self, events: int) -> None:
        """So many events will have gone to the client in a moment."""
        if self.slot and self._charges.slots is not None:
            self._charges.slots.passed(self.slot, events)

    def counted(self, usage: Usage, *, done: bool, seconds: float) -> None:
        """The engine has told its count, and the client is about to see the end."""
        if self.slot and self._charges.slots is not None:
            outcome = OUTCOME["complete" if done else "gateway_died"]
            end = end_of(self, outcome, usage, 0, seconds)
            end.estimated = not done
            self._charges.slots.count(self.slot, end)
        if done and self.watchers:
            self.tell("complete", usage, 0, seconds)

    def tell(self, outcome: str, usage: Usage | None, passed_on: int, seconds: float) -> None:
        """Note how it ends, and tell the watchers, before the client sees it; see `settle`."""
        end = end_of(self, OUTCOME[outcome], usage, passed_on, seconds)
        if self.slot and self._charges.slots is not None:
            self._charges.slots.count(self.slot, end)
        for watcher in self.watchers:
            watcher.ended(end)

    def note(self, text: str) -> None:
        """Add to the note of this request's line in the ledger: 96 bytes in all."""
        slots = self._charges.slots
        if self.slot and slots is not None:
            slots.note(self.slot, (self.noted + b" " + text.encode(errors="replace")).lstrip())

    def reroute(self, route: Route) -> bool:
        """Let another model answer, at its price; false where its limits do not let it in.

        What was reserved stays: it is for the dearest of all that may answer.
        """
        charges, new, old = self._charges, route.gate, self.route.gate
        if new is not None and not enters_at_once(new, self.taken):
            return False
        if not self._change_lines(route):
            if new is not None:
                new.leave(self.taken, 0)
                new.put_back()
            return False
        if self.span is not None:
            self.span.rerouted(route.model)
        if self.slot and charges.slots is not None:
            self.slot = charges.slots.relabel(self.slot, route.identity, route.price)
        if old is not None:
            old.leave(self.taken, 0)
        kept = tuple(gate for gate in self.gates if gate is not old)
        self.gates = kept if new is None else (*kept, new)
        self.route, self.meter = route, charges.meters.of(self.caller.name, route.model)
        return True

    def _change_lines(self, route: Route) -> bool:
        """Give the place at one model's engines for one at another's; false where none is free."""
        before, line = self.place, route.line
        if before is None or line is self.route.line:
            return True
        if line is None:
            self.place = None
        elif not line.lets_in(self):
            return False
        before.leave()
        return True

    def settle(self, outcome: str, usage: Usage | None, passed_on: int, seconds: float) -> None:
        """Close the account; see `Meter.settle`. `passed_on` counts what `usage` does not.

        Of an answer `from_cache`, `usage` is what it would have taken.
        """
        if not self.open:
            return
        self.open, self.trip, self.rescue = False, None, None
        if outcome == "from_cache":
            end, usage = self._from_cache(usage or NOTHING, seconds), None
        else:
            end = end_of(self, OUTCOME[outcome], usage, passed_on, seconds)
        self.meter.settle(outcome, usage, passed_on, seconds)
        self._give_back(end)
        charges = self._charges
        if usage is not None and not passed_on:
            charges.ratios.learn(self.route.model, self.demand.body_bytes, usage.prompt_tokens)
        if self.slot and charges.slots is not None:
            charges.slots.settle(self.slot, end)
        if self.span is not None:
            self.span.ended(end)
        for watcher in self.watchers:  # last: who cannot take it down must not keep the rest
            watcher.ended(end)

    def _give_back(self, end: End) -> None:
        """Leave gates and line, and put back what was reserved and not used."""
        tokens = end.prompt + end.completion
        for gate in self.gates:
            gate.leave(self.taken, tokens)
        if self.place is not None:
            self.place.leave(end.prompt, end.completion)
        worst = self.worst
        for purse in self.purses:
            if purse.is_usd:
                purse.settle(worst[1], end.cost)
            else:
                purse.settle(worst[0], tokens)

    def _from_cache(self, saved: Usage, seconds: float) -> End:
        """Return an end without tokens, for no engine computed any, at its share of the price."""
        completion, price = saved.completion_tokens or 0, self.route.price
        self.note(f"saved {saved.prompt_tokens}+{completion} tokens")
        whole = cost_of(price, saved.prompt_tokens, saved.cached_tokens, completion)
        cost = ceil(whole * price.from_cache)
        if any(purse.is_usd for purse in self.purses):  # a turn has had many rounds
            cost = min(cost, self.worst[1])
        return End(OUTCOME["from_cache"], False, 0, 0, 0, cost, seconds * 1000)

    async def next_round(self, body: bytes) -> None:
        """Reserve for a further round of a turn, which asks the engine `body`.

        Raises:
            LimitExceeded: a budget does not reach for it.
        """
        charges, purses, before = self._charges, self.purses, self.worst
        if not purses or charges.clerk is None:
            return
        demand = round_of(body, self.route.context, self.demand)
        worst = worst_of(self.route, demand)
        await charges.till.wait_for(purses, worst, (self.route, demand))
        self.worst = before[0] + worst[0], before[1] + worst[1]


def _shortened(name: str) -> bytes:
    return name.encode(errors="replace")[:100].replace(b"\0", b" ")
