"""Who asks, may they, and for what: decided from memory, without waiting for anything."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from penstock.chat.request import Traits
from penstock.gateway.caller import Account, Caller
from penstock.gateway.fleet import Engine, Fleet
from penstock.gateway.line import Line
from penstock.gateway.refusals import limit_reached, model_at_limit
from penstock.gateway.settings import ModelSettings, Settings
from penstock.ground.clock import Clock
from penstock.ground.errors import NotAllowed, RequestError
from penstock.registry.counters.slices import Empty
from penstock.registry.directory import Directory
from penstock.registry.gate import Gate
from penstock.registry.keys import digest_of
from penstock.registry.purse import Purse
from penstock.registry.records import KeyRecord, Limits, Policy, Price, Share, TenantRecord
from penstock.registry.stores.changes import Changes

_ASIDE = 5.0
"""So many requests a second that ask no model every tenant and key may make."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes. `gate` holds the model's own limits, for all tenants together."""

    model: str
    engines: tuple[Engine, ...]
    price: Price = field(default_factory=Price)
    context: int | None = None
    gate: Gate | None = None
    identity: bytes = field(default=b"")
    """Model and adapter as they stand in a slot file."""
    traits: Traits = field(default_factory=Traits)
    line: Line | None = None
    """Where requests wait while the engines are full; none: at the engines."""
    ceiling: Price | None = None
    """What a budget reserves, where a dearer model may answer in its place."""
    upstream: str = ""
    """Name under which its engines know it."""
    routed: bool = False
    """Whether more is to be decided: see `ways.Ways`."""


class Admission:
    """Keys, tenants and models of one gateway."""

    def __init__(
        self,
        settings: Settings,
        fleet: Fleet,
        *,
        clock: Clock,
        wall: Clock,
        lines: Callable[[tuple[Engine, ...]], Line] | None = None,
        gates: Callable[[str, Limits], Gate] | None = None,
    ) -> None:
        """`lines` gives the queue before some engines, where there is one; `gates` makes the gate
        of a scope (`tenant:NAME`, `key:ID`, `model:NAME`), none means one of this process alone.
        """
        self._clock, self._wall, self._lines = clock, wall, lines
        self.directory = Directory()
        self.directory.put(
            (tenant.record() for tenant in settings.tenants),
            (key.record() for key in settings.keys),
        )
        if settings.admin is not None:
            admin = KeyRecord("admin", settings.admin, "", None, source="manifest")
            self.directory.put((), (admin,))
        self._gate = gates or self._own_gate
        self._callers: dict[bytes, Caller] = {}
        self.tokens: Callable[[bytes], KeyRecord | None] | None = None
        """Opens bearer tokens, where there is somebody who issues them."""
        self._accounts: dict[str, Account] = {}
        self._behind: dict[str, tuple[KeyRecord, TenantRecord, Caller]] = {}
        self._models = {model.name: model for model in settings.models}
        self._routes = {
            model.name: self._route(model, fleet.named(model.engines)) for model in settings.models
        }

    def _route(self, model: ModelSettings, engines: tuple[Engine, ...]) -> Route:
        limits = model.limits
        adapter = model.name if model.parent else ""
        return Route(
            model.name,
            engines,
            model.price,
            model.context,
            self._gate(f"model:{model.name}", limits) if limits != Limits() else None,
            f"{model.name}\0{adapter}".encode(),
            Traits(model.tools_format, model.verify_answers, model.takes_formats),
            self._lines(engines) if self._lines is not None and engines else None,
            upstream=model.name if model.upstream is None else model.upstream,
            routed=model.routing is not None,
        )

    def _own_gate(self, scope: str, limits: Limits) -> Gate:
        return Gate(limits, clock=self._clock, wall=self._wall)

    def identify(self, secret: bytes | None, claimed: bytes | None = None) -> Caller:
        """Return whose key this is; `claimed` is the tenant that the request names, if any.

        Raises:
            NotAllowed: there is no key, it opens nothing (any more), or it is another tenant's.
        """
        if not secret:
            raise NotAllowed(
                "no API key was sent",
                fix="Send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`",
            )
        digest = digest_of(secret)
        caller = self._callers.get(digest) or self._find(digest) or self._opened(secret, digest)
        if caller is None or (caller.ends_s != math.inf and self._wall() >= caller.ends_s):
            if caller is not None and self.tokens is not None:
                self.tokens(secret)  # which knows better why a token has ended
            raise NotAllowed(
                "this API key is not known", fix="Check it, or ask your operator for one"
            )
        if claimed is not None and claimed != caller.name.encode():
            raise NotAllowed(
                "this API key is not of the tenant that the request names",
                fix="Leave the tenant header out: the key alone says who asks",
            )
        return caller

    def admin_of(self, secret: bytes | None) -> KeyRecord | None:
        """Return the admin key that `secret` is, if it opens now."""
        return self.directory.admin_of(secret, self._wall()) if secret else None

    def _find(self, digest: bytes) -> Caller | None:
        key = self.directory.key(digest)
        tenant = self.directory.tenants.get(key.tenant or "") if key else None
        if key is None or tenant is None:
            return None
        caller = self._callers[digest] = self._caller(key, tenant)
        return caller

    def _caller(self, key: KeyRecord, tenant: TenantRecord) -> Caller:
        accounts = (
            self._account(f"tenant:{tenant.name}", tenant.policy),
            self._account(f"key:{key.id}", key.policy),
        )
        return Caller(key, tenant, accounts)

    def standing_behind(self, digest: str) -> Caller | None:
        """Return whose key has this digest (in hex), to be served after everybody else.

        None where it is not known here (a token is not); one that opens nothing any more has
        ended.
        """
        key = self.directory.key(bytes.fromhex(digest))
        tenant = self.directory.tenants.get(key.tenant or "") if key else None
        if key is None or tenant is None:
            return None
        held = self._behind.get(digest)
        if held is not None and held[0] is key and held[1] is tenant:
            return held[2]
        share = Share(tenant.policy.share.weight, "low")
        last = replace(tenant, policy=replace(tenant.policy, share=share))
        caller = self._caller(key, last)
        self._behind[digest] = key, tenant, caller
        return caller

    def _opened(self, secret: bytes, digest: bytes) -> Caller | None:
        """Return whose token this is; it is known by its digest from then on."""
        record = self.tokens(secret) if self.tokens is not None else None
        if record is None:
            return None
        tenant = self.directory.tenants.get(record.tenant or "")
        if tenant is None or tenant.disabled:
            raise NotAllowed("this token is not accepted", why="its tenant is not known here")
        caller = self._callers[digest] = self._caller(record, tenant)
        return caller

    def forget(self, digests: Iterable[bytes]) -> None:
        """Look keys and tokens up anew when they come again."""
        for digest in digests:
            self._callers.pop(digest, None)

    def _account(self, scope: str, policy: Policy) -> Account:
        account = self._accounts.get(scope)
        if account is None:
            account = Account(scope, policy, self._gate(scope, policy.limits), self._wall)
            self._accounts[scope] = account
        else:
            account.change(policy)
        return account

    def learn(self, changes: Changes) -> None:
        """Take over changed tenants and keys; they hold from the next request on."""
        self.directory.put(changes.tenants, changes.keys)
        names = {tenant.name for tenant in changes.tenants}
        self.forget(bytes.fromhex(key.digest) for key in changes.keys)
        if names:
            stale = [digest for digest, caller in self._callers.items() if caller.name in names]
            for digest in stale:
                del self._callers[digest]

    def purses(self) -> list[Purse]:
        """Return every purse there is, old ones too as long as they hold something."""
        found: list[Purse] = []
        for account in self._accounts.values():
            purses = account.purses
            if purses.retired:
                purses.retired = [p for p in purses.retired if p.held or p.due or p.reserved]
                found += purses.retired
            found += purses.now
        return found

    @staticmethod
    def admit(caller: Caller) -> None:
        """Take one request from the limits of `caller`.

        Raises:
            LimitExceeded: the rate or the day of the tenant or the key is used up.
            Empty: the server of the counters must be asked; nothing is taken.
        """
        gate: Gate | None = None
        try:
            for gate in caller.gates:
                refusal = gate.request()
                if refusal is not None:
                    raise limit_reached(caller, gate, refusal)
        except Empty:
            for taken in caller.gates:
                if taken is gate:
                    break
                taken.put_back()
            raise

    def admit_aside(self, caller: Caller) -> None:
        """Take a request that asks no model, but the database: of usage, of files, of batches.

        Their rate is that of other requests, but at least `_ASIDE`, and their count is one of its
        own, in this gateway alone: who looks after a batch loses no answer by it. The day's count
        is not touched.

        Raises:
            LimitExceeded: the rate of the tenant or the key is used up.
        """
        for account in caller.accounts:
            limits = account.gate.limits
            if limits.requests_per_second is None:
                continue
            rate = max(limits.requests_per_second, _ASIDE)
            burst = limits.burst or round(2 * limits.requests_per_second)
            terms = Limits(rate, max(burst, round(2 * _ASIDE)))
            if account.aside is None:
                account.aside = self._own_gate(account.scope, terms)
            account.aside.change(terms)
            if refusal := account.aside.request():
                raise limit_reached(caller, account.gate, refusal)

    def resolve(self, caller: Caller, model: str) -> Route:
        """Return the route of `model`; a model the caller may not use does not exist for it.

        The request is counted, but for a model with routing: `Ways` counts it where it goes.

        Raises:
            RequestError: there is no such model (code `model_not_found`).
            LimitExceeded: the model's own rate is used up.
            Empty: the server of the counters must be asked.
        """
        route = self._routes.get(model)
        if route is None or not caller.may_use(model):
            raise self.no_such_model(caller, model)
        if route.gate is not None and not route.routed and (refusal := route.gate.request()):
            raise model_at_limit(model, refusal)
        return route

    def no_such_model(self, caller: Caller, model: str) -> RequestError:
        """Return the error for a model that does not exist for this caller."""
        names = ", ".join(entry.name for entry in self.models_of(caller)) or "none"
        return RequestError(
            f"there is no model {model[:200]!r}",
            fix=f"This key may use: {names}",
            param="model",
            code="model_not_found",
        )

    def serves_all(self) -> bool:
        """Whether every model that this gateway must serve has an engine that answers."""
        return all(
            any(engine.up for engine in self._routes[model.name].engines)
            for model in self._models.values()
            if model.engines and not model.elsewhere
        )

    def models_of(self, caller: Caller) -> list[ModelSettings]:
        """Return the models this caller may ask for."""
        return [model for model in self._models.values() if caller.may_use(model.name)]

    @property
    def routes(self) -> Mapping[str, Route]:
        """The route of every model."""
        return self._routes

    @property
    def model_names(self) -> frozenset[str]:
        """Every model there is."""
        return frozenset(self._models)
