"""Every resource type that the stand-in can make; another one is refused."""

from penstock.rehearsal.cloudformation.kinds import Api
from penstock.rehearsal.cloudformation.kinds_of import (
    identity,
    models,
    storage,
)
from penstock.rehearsal.cloudformation.template import flaw

KINDS: dict[str, Api] = {**identity.KINDS, **models.KINDS, **storage.KINDS}


def kind(name: str) -> Api:
    """Return how resources of the type are made."""
    if name not in KINDS:
        raise flaw(f"Template format error: the stand-in cannot make a {name}")
    return KINDS[name]
