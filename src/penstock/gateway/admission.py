"""Who asks, may they, and for what: decided from memory, without waiting for anything."""

from dataclasses import dataclass

from penstock.gateway.fleet import Engine, Fleet
from penstock.gateway.meters import Meters
from penstock.gateway.settings import ModelSettings, Settings, TenantSettings
from penstock.ground.clock import Clock
from penstock.ground.errors import LimitExceeded, NotAllowed, RequestError
from penstock.registry.counters.memory import Bucket
from penstock.registry.keys import Key, KeyRing


class Tenant:
    """A tenant as the hot path sees it."""

    __slots__ = ("_models", "bucket", "name", "tools")

    def __init__(self, settings: TenantSettings, *, clock: Clock, wall: Clock) -> None:
        self.name, self.tools = settings.name, settings.tools
        self._models = None if "*" in settings.models else frozenset(settings.models)
        self.bucket = Bucket(
            settings.requests_per_second,
            settings.burst,
            settings.requests_per_day,
            clock=clock,
            wall=wall,
        )

    def may_use(self, model: str) -> bool:
        """Whether this tenant may ask for `model`."""
        return self._models is None or model in self._models


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    model: str
    engines: tuple[Engine, ...]


class Admission:
    """Keys, tenants and models of one gateway."""

    def __init__(
        self, settings: Settings, fleet: Fleet, meters: Meters, *, clock: Clock, wall: Clock
    ) -> None:
        self._keys = KeyRing(
            Key(bytes.fromhex(key.digest), key.hint, key.tenant) for key in settings.keys
        )
        self._tenants = {
            tenant.name: Tenant(tenant, clock=clock, wall=wall) for tenant in settings.tenants
        }
        self._models = {model.name: model for model in settings.models}
        self._routes = {
            model.name: Route(model.name, fleet.named(model.engines)) for model in settings.models
        }
        self._meters = meters

    def identify(self, secret: bytes | None) -> Tenant:
        """Return whose key this is.

        Raises:
            NotAllowed: there is no key, or it opens nothing.
        """
        if not secret:
            raise NotAllowed(
                "no API key was sent",
                fix="Send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`",
            )
        key = self._keys.find(secret)
        if key is None:
            raise NotAllowed(
                "this API key is not known", fix="Check it, or ask your operator for one"
            )
        return self._tenants[key.tenant]

    def admit(self, secret: bytes | None) -> Tenant:
        """Return whose key this is and take one request from its limits.

        Raises:
            NotAllowed: see `identify`.
            LimitExceeded: the tenant's rate or day is used up.
        """
        tenant = self.identify(secret)
        wait_s = tenant.bucket.take()
        if wait_s:
            bucket = tenant.bucket
            limit = (
                f"{bucket.rate:g} requests a second, {bucket.burst} at once"
                if bucket.left_today
                else f"{bucket.per_day} requests a day"
            )
            raise LimitExceeded(
                f"tenant {tenant.name} has reached its limit", why=limit, retry_after_s=wait_s
            )
        return tenant

    def resolve(self, tenant: Tenant, model: str) -> Route:
        """Return the route of `model`; a model the tenant may not use does not exist for it.

        Raises:
            RequestError: there is no such model (code `model_not_found`).
        """
        route = self._routes.get(model)
        if route is None or not tenant.may_use(model):
            raise self.no_such_model(tenant, model)
        return route

    def no_such_model(self, tenant: Tenant, model: str) -> RequestError:
        """Return the error for a model that does not exist for this tenant."""
        names = ", ".join(entry.name for entry in self.models_of(tenant)) or "none"
        return RequestError(
            f"there is no model {model[:200]!r}",
            fix=f"This key may use: {names}",
            param="model",
            code="model_not_found",
        )

    def serves_all(self) -> bool:
        """Whether every model has an engine that answers."""
        return all(any(engine.up for engine in route.engines) for route in self._routes.values())

    def models_of(self, tenant: Tenant) -> list[ModelSettings]:
        """Return the models this tenant may ask for."""
        return [model for model in self._models.values() if tenant.may_use(model.name)]
