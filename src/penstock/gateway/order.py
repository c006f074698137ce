"""What a relay is to ask of an engine."""

import msgspec

from penstock.gateway.admission import Route
from penstock.gateway.charges import Charge


class Order(msgspec.Struct, frozen=True):
    """A request to an engine, and the account that pays for it."""

    path: bytes
    body: bytes
    route: Route
    charge: Charge
    streams: bool
    hide_usage: bool
