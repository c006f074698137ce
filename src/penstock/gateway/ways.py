"""The ways of all names with routing: from a request to the trip it is to make.

A name is a model, or one that only stands for others (`auto`). What is decided, in this order: the
tier, by how hard the request looks; the arm of a split, by the key; who stands in. Every model on
the way must be one that the key may use: others are passed over as if they were not there.
"""

from dataclasses import replace

from msgspec import Raw

from penstock.gateway.admission import Admission, Route
from penstock.gateway.answer import Client
from penstock.gateway.caller import Caller
from penstock.gateway.charges import Charge, Charges
from penstock.gateway.choice import Choice, Crew, Leg, Manner
from penstock.gateway.demand import Asked as Request
from penstock.gateway.fields import ChatRequest
from penstock.gateway.fleet import RETRIES, Fleet
from penstock.gateway.refusals import model_at_limit
from penstock.gateway.route_meters import RouteMeters
from penstock.gateway.routing.arms import arm_of
from penstock.gateway.routing.prefix import key_of, prefix_of
from penstock.gateway.routing.ring import Ring
from penstock.gateway.routing.score import (
    SHARES,
    Asked,
    asked_in_messages,
    asked_in_prompt,
    score_of,
)
from penstock.gateway.routing.settings import RoutingSettings
from penstock.gateway.routing.tiers import decide
from penstock.gateway.settings import ModelSettings, Settings
from penstock.gateway.shadows import Shadows, Target
from penstock.gateway.trip import Trip
from penstock.ground.errors import LimitExceeded
from penstock.registry.counters.slices import Empty
from penstock.registry.records import Price

_PLAIN = RoutingSettings()
_UNSEEN = Leg(Route("", ()), ())
"""Stands for a model that nobody asked for yet."""
_ANY = "any"
"""Form of calls of a request that can have none."""


class Ways:
    """Starts trips."""

    def __init__(
        self, settings: Settings, admission: Admission, fleet: Fleet, charges: Charges
    ) -> None:
        self._admission, self._fleet = admission, fleet
        self.meters = RouteMeters()
        shadows = Shadows(charges, self.meters, settings.request_timeout_s)
        self._crew = Crew(charges, self.meters, shadows)
        self._models = {model.name: model for model in settings.models}
        self._chains = {name: self._chain(model) for name, model in self._models.items()}
        self._straight: dict[str, Leg | None] = {}
        self._manners = {name: self._manner(model) for name, model in self._models.items()}

    def _chain(self, model: ModelSettings) -> tuple[Leg, ...]:
        """Return the legs of a model and of those that stand in for it.

        On whichever of them a request begins, a budget must reserve for all that may answer.
        """
        names = (model.name, *(model.routing or _PLAIN).fallback)
        routes = [self._admission.routes[name] for name in names]
        contexts = [each.context for each in routes]
        longest = None if None in contexts else max(c for c in contexts if c is not None)
        ceiling = _dearest([each.price for each in routes])
        return tuple(self._leg(replace(each, context=longest, ceiling=ceiling)) for each in routes)

    def _leg(self, route: Route) -> Leg:
        told = self._models[route.model].routing or _PLAIN
        ring = Ring([engine.name for engine in route.engines]) if told.prefix else None
        return Leg(route, route.engines, ring, told.balance)

    def _manner(self, model: ModelSettings) -> Manner:
        told = model.routing or _PLAIN
        hedge = told.hedge_after_ms
        return Manner(
            told.retries, None if hedge is None else hedge / 1000, self._target(model.name, told)
        )

    def _target(self, model: str, told: RoutingSettings) -> Target | None:
        shadow = told.shadow
        if shadow is None:
            return None
        route = self._admission.routes[shadow.model or model]
        engines = route.engines if shadow.engine is None else self._fleet.named([shadow.engine])
        return Target(route, engines, shadow.share, shadow.at_once)

    def straight(self, asked: str) -> Route | None:
        """Return the route of a model that is asked as one without routing, until it fails.

        None where more is to be decided now. The request is counted, as in `start`.

        Raises:
            Empty: the server of the counters must be asked.
        """
        leg = self._straight.get(asked, _UNSEEN)
        if leg is _UNSEEN:
            leg = self._straight[asked] = self._straight_leg(asked)
        if leg is None or not leg.can_answer:
            return None
        gate = leg.route.gate
        return leg.route if gate is None or gate.request() is None else None

    def _straight_leg(self, asked: str) -> Leg | None:
        """Return the leg on which nothing but who stands in is to be decided."""
        told, leg = self._models[asked].routing or _PLAIN, self._chains[asked][0]
        decides = told.tiers or told.arms or told.prefix or told.shadow or told.hedge_after_ms
        special = [each for each in leg.engines if each.sleep or each.sagemaker or each.reads]
        if decides or told.retries != RETRIES or special or leg.route.upstream != asked:
            return None
        return leg

    def trip(self, caller: Caller, asked: str, request: Request) -> Trip:
        """Return the trip of a request that went straight, and cannot go on so."""
        return Trip(self._choose(caller, asked, request), self._crew)

    def rescue(self, charge: Charge, client: Client, asked: str, request: Request) -> Trip:
        """Return such a trip of a request whose account is open."""
        trip = self.trip(charge.caller, asked, request)
        trip.follow(charge, client)
        return trip

    def start(self, caller: Caller, asked: str, request: Request) -> Trip:
        """Return the trip of a request for the model `asked`, on its first leg that is open.

        Raises:
            RequestError: nothing that this name stands for may be used by this key.
            LimitExceeded: the rate of the name or the model is used up, and nobody stands in.
            Empty: the server of the counters must be asked.
        """
        own = self._admission.routes[asked]
        gate = own.gate if not own.engines else None
        if gate is not None and (refusal := gate.request()):
            raise model_at_limit(asked, refusal)
        try:
            return self._opened(Trip(self._choose(caller, asked, request), self._crew))
        except Empty:
            if gate is not None:
                gate.put_back()
            raise

    def _choose(self, caller: Caller, asked: str, request: Request) -> Choice:
        model, how, texts = asked, "direct", []
        told = self._models[asked].routing or _PLAIN
        if told.tiers:
            score = score_of(_seen(request), told.shares or SHARES)
            decision = decide(score, told.tiers, caller.may_use)
            if decision is None:
                raise self._admission.no_such_model(caller, asked)
            model, how = decision.tier.model, "tier"
            texts.append(decision.text)
            told = self._models[model].routing or _PLAIN
        chain = self._chains[model]
        leg = chain[0]
        if told.arms:
            may = [a for a in told.arms if a.model is None or caller.may_use(a.model)]
            place = arm_of(caller.key_id, model, [(arm.name, arm.weight) for arm in may])
            if place is None:
                raise self._admission.no_such_model(caller, asked)
            arm, how = may[place], "arm"
            texts.append(f"arm={arm.name}")
            if arm.engine is not None:
                leg = leg._replace(engines=self._fleet.named([arm.engine]), ring=None)
            elif arm.model is not None:
                chain, model = self._chains[arm.model], arm.model
                leg = chain[0]
            told = self._models[model].routing or _PLAIN
        form = leg.route.traits.tools_format if _may_call(caller, request) else _ANY
        stand_ins = [
            each
            for each in chain[1:]
            if caller.may_use(each.route.model) and form in (_ANY, each.route.traits.tools_format)
        ]
        if leg.engines != chain[0].engines:  # one engine alone: the others stand in
            stand_ins.insert(0, chain[0])
        raw = request.messages if isinstance(request, ChatRequest) else request.prompt
        legs, key = (leg, *stand_ins), 0
        if any(each.ring is not None for each in legs):
            key = key_of(caller.name, model, prefix_of(bytes(raw), told.prefix_bytes))
        return Choice(asked, legs, self._manners[model], key, how, " ".join(texts))

    @staticmethod
    def _opened(trip: Trip) -> Trip:
        """Return the trip at its first leg that lets it in; at the last one where none does."""
        refused: LimitExceeded | None = None
        while True:
            while not trip.is_open and trip.skip():
                pass
            gate = trip.route.gate
            refusal = gate.request() if gate is not None else None
            if refusal is None:
                return trip
            refused = refused or model_at_limit(trip.route.model, refusal)
            if not trip.skip():
                raise refused


def _may_call(caller: Caller, request: Request) -> bool:
    """Whether the answer may hold calls of tools, which a model writes in a form of its own."""
    return isinstance(request, ChatRequest) and bool(request.tools or caller.tools)


def _seen(request: Request) -> Asked:
    if not isinstance(request, ChatRequest):
        return asked_in_prompt(bytes(request.prompt))._replace(max_tokens=request.max_tokens)
    most = max(request.max_tokens or 0, request.max_completion_tokens or 0)
    form = request.response_format
    return asked_in_messages(bytes(request.messages))._replace(
        tools=len(request.tools or ()),
        max_tokens=most or None,
        structured=isinstance(form, Raw) and b"json" in bytes(form),
    )


def _dearest(prices: list[Price]) -> Price:
    return Price(
        max(price.prompt for price in prices),
        max(price.cached for price in prices),
        max(price.completion for price in prices),
    )
