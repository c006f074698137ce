"""Every resource type that the stand-in can make; another one is refused."""

from penstock.rehearsal.cloudformation.kinds import Api
from penstock.rehearsal.cloudformation.kinds_of import (
    containers,
    data,
    files,
    fronts,
    identity,
    models,
    naming,
    network,
    rest,
    scaling,
    storage,
    watching,
)
from penstock.rehearsal.cloudformation.template import flaw

KINDS: dict[str, Api] = {
    **containers.KINDS,
    **data.KINDS,
    **files.KINDS,
    **fronts.KINDS,
    **identity.KINDS,
    **models.KINDS,
    **naming.KINDS,
    **network.KINDS,
    **rest.KINDS,
    **scaling.KINDS,
    **storage.KINDS,
    **watching.KINDS,
}


def kind(name: str) -> Api:
    """Return how resources of the type are made."""
    if name not in KINDS:
        raise flaw(f"Template format error: the stand-in cannot make a {name}")
    return KINDS[name]
