"""One request on its way through models and engines, until one of them answers.

A trip has legs: the model that was chosen, then those that stand in for it. On each leg engines
are asked, another one where one cannot answer, and a second one beside the first where that takes
too long. The next leg is taken when nobody on this one can answer, and only as long as the client
has seen nothing of any model. Whoever answers first wins; the others are stopped.
"""

import asyncio
import logging
import random
import time

from penstock.gateway.admission import Route
from penstock.gateway.answer import Client
from penstock.gateway.asking import CHAT, Asking, chats_alone, renamed
from penstock.gateway.charges import Charge
from penstock.gateway.choice import Choice, Crew
from penstock.gateway.fleet import BUSY, Engine, least_busy, none_left
from penstock.gateway.lane import Lane
from penstock.gateway.routing.ring import first_with_room
from penstock.gateway.wait import Wait
from penstock.ground.errors import (
    EngineAsleep,
    EngineError,
    EngineUnavailable,
    StoreUnavailable,
)
from penstock.registry.gate import counts_at_once

log = logging.getLogger("penstock.gateway")


class Trip:
    """Satisfies `asking.Journey`, `lane.Race` and `wait.Waiting`."""

    def __init__(self, choice: Choice, crew: Crew) -> None:
        self._choice, self._crew = choice, crew
        self._at = 0
        self._charge: Charge | None = None
        self._client: Client | None = None
        self._header = b""
        self._asking: Asking | None = None
        self._rounds = 0
        self._tried: tuple[Engine, ...] = ()
        self._lanes: list[Lane] = []
        self._winner: Lane | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since_s = 0.0
        self._wait: Wait | None = None
        self.held_s = 0.0

    # Before the first engine

    @property
    def route(self) -> Route:
        """The model that is asked now."""
        return self._choice.legs[self._at].route

    @property
    def is_open(self) -> bool:
        """Whether the present leg lets a request in."""
        return self._choice.legs[self._at].can_answer

    def skip(self) -> bool:
        """Leave the present leg out; false where it is the last."""
        if self._at + 1 >= len(self._choice.legs):
            return False
        self._at += 1
        return True

    def pass_over(self) -> bool:
        """Leave the present leg for the next one that lets a request in; false where none does."""
        while self.skip():
            if self.is_open and ((gate := self.route.gate) is None or counts_at_once(gate)):
                return True
        return False

    def board(self, charge: Charge, client: Client | None) -> None:
        """The account is open: say in it, and to the client, what was decided."""
        self._charge, self._client = charge, client
        how = "fallback" if self._at else self._choice.how
        self._crew.meters.routed(self._choice.asked, self.route.model, how)
        self._announce()

    def follow(self, charge: Charge, client: Client) -> None:
        """The account is open and went straight until now."""
        self._charge, self._client = charge, client

    def take_over(self, asking: Asking, tried: tuple[Engine, ...]) -> bool:
        """Go on where engines of the first leg were `tried` in vain; false if nobody is left."""
        self._asking, self._tried = asking, tried
        self._rounds, self._since_s = 1, time.perf_counter()
        engine = self._next()
        if engine is None:
            self._asking = None
            return False
        self._go(engine)
        return True

    @property
    def text(self) -> str:
        """What was decided and who is asked; empty where nothing was decided."""
        parts = [self._choice.text] if self._choice.text else []
        first = self._choice.legs[0].route.model
        if self.route.model != first:
            parts.append(f"instead={first}")
        return " ".join([*parts, f"model={self.route.model}"]) if parts else ""

    def _announce(self) -> None:
        text, charge, client = self.text, self._charge, self._client
        if not text or charge is None:
            return
        charge.note(text if not self._header else f"then={self.route.model}")
        line = b"x-penstock-route: %b\r\n" % text.encode()
        if client is not None:
            kept = client.headers_out
            client.headers_out = (kept.replace(self._header, b"") if self._header else kept) + line
        self._header = line

    # Journey

    @property
    def troubled(self) -> bool:
        """Whether the engine that answers wants to know that all went well."""
        return self._winner is not None and self._winner.engine.troubled

    def answered(self, status: int) -> None:
        """Journey: the answer has come to its end."""
        if self._winner is not None and status not in BUSY:  # that was told already
            self._winner.engine.answered(status)

    def lost(self, error: EngineError) -> None:
        """Journey: the answer broke off; where none had begun, the engine knows already."""
        if self._winner is not None:
            self._winner.engine.lost(error)

    def failed(self) -> None:
        """Journey: time is up, and there was no answer."""
        for lane in self._lanes:
            if lane.head is None:
                lane.engine.failed()

    def ask(self, asking: Asking) -> None:
        """Ask the best engine of the first leg that has one; see `asking.Journey`."""
        self._asking, self._winner, self._tried = asking, None, ()
        self._rounds += 1
        self._since_s = time.perf_counter()
        engine = self._next()
        if engine is None:
            self._asking = None
            raise none_left(self._choice.legs[self._at].engines)
        if engine.sagemaker is not None and asking.path != CHAT:
            self._asking = None
            raise chats_alone(self.route.model)
        self._go(engine)
        after_s = self._choice.manner.hedge_after_s
        if after_s is not None:
            self._timer = asyncio.get_running_loop().call_later(after_s, self._hedge)

    def stop(self) -> None:
        """Journey: nobody waits any more."""
        self._end_race()
        self._leave("gone")
        for lane in self._lanes:
            lane.stop()
        self._lanes = []
        if self._winner is not None:
            self._winner.stop()
        self._asking = None

    def pause(self) -> None:
        """Journey: the client reads slowly."""
        if self._winner is not None:
            self._winner.exchange.pause()

    def resume(self) -> None:
        """Journey: the client has caught up."""
        if self._winner is not None:
            self._winner.exchange.resume()

    # The race

    def _send(self, engine: Engine) -> None:
        asking, charge = self._asking, self._charge
        if asking is None or charge is None:
            raise AssertionError("a trip is boarded, and then asks")
        charge.asked(engine.number)
        self._tried = (*self._tried, engine)
        lane = Lane(engine, self, asking.sink)
        body = asking.body
        if self.route.upstream != self._choice.asked:
            body = renamed(body, self.route.upstream)
        trace = charge.span.header if charge.span is not None else b""
        lane.exchange = engine.pool.post(asking.path, body, lane, asking.request_id, trace)
        self._lanes.append(lane)

    def _next(self) -> Engine | None:
        """Return whom to ask next; moves to the next leg where this one has nobody left."""
        while True:
            if len(self._tried) <= self._choice.manner.retries:
                engine = self._pick()
                if engine is not None:
                    return engine
            if not self._take_next_leg():
                return None

    def _pick(self) -> Engine | None:
        leg = self._choice.legs[self._at]
        if leg.ring is None:
            try:
                return least_busy(leg.engines, self._tried)
            except EngineUnavailable:
                return None
        loads = [
            (engine.pool.outstanding + engine.foreign) * engine.heft
            if engine.usable and engine not in self._tried
            else None
            for engine in leg.engines
        ]
        place = first_with_room(leg.ring.walk(self._choice.key), loads, leg.balance)
        if place is None:
            return None
        engine = leg.engines[place]
        if engine.troubled:
            engine.chosen()
        return engine

    def _take_next_leg(self) -> bool:
        """Go on with the next model; not in a turn of which the client may have seen a round."""
        charge, legs = self._charge, self._choice.legs
        while charge is not None and self._at + 1 < len(legs):
            same = legs[self._at + 1].route.model == charge.route.model  # its other engines
            if self._rounds > 1 and not same:
                return False
            self._at += 1
            if not legs[self._at].can_answer:
                continue
            if same:
                return True
            if charge.reroute(self.route):
                self._tried = ()
                self._crew.meters.routed(self._choice.asked, self.route.model, "fallback")
                self._announce()
                return True
        return False

    def _hedge(self) -> None:
        """The first engine has taken too long: ask a second one of the same model."""
        self._timer = None
        if len(self._lanes) != 1 or self._lanes[0].head is not None:
            return
        if (engine := self._pick()) and engine.is_awake:
            self._send(engine)

    def lane_failed(self, lane: Lane, error: EngineError | None) -> None:
        """Race: ask another one, unless one is still at it; at last say that it failed."""
        if lane in self._lanes:
            self._lanes.remove(lane)
        if self._lanes:
            return
        engine = self._next()
        if engine is not None:
            self._go(engine)
        elif error is None:
            lane.deliver()
        else:
            self.end(error)

    def end(self, error: EngineError) -> None:
        """Nobody will answer; also satisfies `wait.Waiting`."""
        self._end_race()
        self._leave("failed")
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.sink.on_lost(error)

    # What sleeps

    def lane_asleep(self, lane: Lane) -> None:
        """Race: its engine has no copy."""
        if lane in self._lanes:
            self._lanes.remove(lane)
        if lane.engine.sleep is not None:
            lane.engine.sleep.has_refused(lane.risings)
        if self._lanes:
            return
        if self._wait is not None and self._wait.engine is lane.engine:
            self._wait.again()
        else:
            self._go(lane.engine)

    def _go(self, engine: Engine) -> None:
        """Ask the engine; where it sleeps ask another one, or wait until it wakes."""
        while engine.sleep is not None and not engine.sleep.lets_through():
            other = self._elsewhere(engine)
            if other is None:
                self._hold(engine)
                return
            engine = other
        self._send(engine)

    def _elsewhere(self, sleeper: Engine) -> Engine | None:
        """Return somebody else who may answer; where there is nobody, nothing has changed."""
        at, tried = self._at, self._tried
        self._tried = (*tried, sleeper)
        other = self._next()
        if other is None:
            self._at, self._tried = at, tried
        return other

    def _hold(self, engine: Engine) -> None:
        self._leave("failed")  # it waited for another one
        beat = self._asking.beat if self._asking is not None else None
        try:
            self._wait = Wait(engine, self, self._client, beat)
        except EngineAsleep as error:
            asyncio.get_running_loop().call_soon(self.end, error)

    def ask_again(self, engine: Engine) -> None:
        """Waiting: see whether it is awake."""
        if self._asking is not None:
            self._send(engine)

    def _leave(self, outcome: str) -> None:
        wait, self._wait = self._wait, None
        if wait is not None:
            self.held_s += wait.leave(outcome)

    def lane_won(self, lane: Lane) -> None:
        """Race: stop the others; they are nobody's to pay."""
        self._end_race()
        if lane.engine.sleep is not None and lane.is_of_model:
            lane.engine.sleep.has_answered()
        self._leave("answered" if lane.is_of_model else "failed")
        self._winner = lane
        others = [other for other in self._lanes if other is not lane]
        self._lanes = []
        for other in others:
            other.stop()
            self._tell_of(other)
        charge, asking = self._charge, self._asking
        if charge is None or asking is None:
            return
        charge.asked(lane.engine.number)
        if others:
            winner = "first" if lane.engine is self._tried[0] else "second"
            self._crew.meters.hedged(self.route.model, winner)
        shadow = self._choice.manner.shadow
        good = lane.head is not None and lane.head.status == 200
        if shadow is not None and good and random.random() < shadow.share:  # noqa: S311
            copy_id = b"%b/shadow-%d" % (asking.request_id, self._rounds)
            copied = (shadow, asking.path, asking.body, copy_id, charge.caller)
            asyncio.get_running_loop().call_soon(self._crew.shadows.copy, *copied)

    def lane_ended(self) -> None:
        """Race: it is over."""
        self._asking = None

    def _tell_of(self, other: Lane) -> None:
        """Write a line of an engine that worked in vain."""
        charge, asking = self._charge, self._asking
        if charge is None or asking is None:
            return
        try:
            self._crew.charges.line(
                "shadow",
                charge.caller,
                self.route.model,
                outcome="client_gone",
                seconds=time.perf_counter() - self._since_s,
                request_id=b"%b/hedge-%d" % (asking.request_id, self._rounds),
                note=f"hedge at {other.engine.name}",
            )
        except StoreUnavailable:
            log.warning("the ledger has no line of a hedge of request %s", asking.request_id)

    def _end_race(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
