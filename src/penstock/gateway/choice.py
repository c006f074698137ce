"""What is decided of a request before anybody is asked, and who helps on the way."""

from typing import NamedTuple

from penstock.gateway.admission import Route
from penstock.gateway.charges import Charges
from penstock.gateway.fleet import Engine
from penstock.gateway.route_meters import RouteMeters
from penstock.gateway.routing.ring import Ring
from penstock.gateway.shadows import Shadows, Target


class Leg(NamedTuple):
    """A model, and the engines of it that may be asked; with a `ring`, by the prompt's prefix."""

    route: Route
    engines: tuple[Engine, ...]
    ring: Ring | None = None
    balance: float = 1.0

    @property
    def can_answer(self) -> bool:
        """Whether an engine may be asked, and requests are let in."""
        line = self.route.line
        return any(e.usable for e in self.engines) and not (line is not None and line.is_full)


class Manner(NamedTuple):
    """How the engines of a model are asked."""

    retries: int = 2
    hedge_after_s: float | None = None
    shadow: Target | None = None


class Crew(NamedTuple):
    """Who helps every trip."""

    charges: Charges
    meters: RouteMeters
    shadows: Shadows


class Choice(NamedTuple):
    """What was decided before anybody is asked."""

    asked: str
    """The model that the client names."""
    legs: tuple[Leg, ...]
    manner: Manner
    key: int
    """Where the prompt's prefix belongs."""
    how: str
    text: str
    """Why, for the header and the ledger; empty where nothing was decided."""
