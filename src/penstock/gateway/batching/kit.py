"""What all batches of a gateway are run with."""

from dataclasses import dataclass, field

from penstock.gateway.admission import Admission
from penstock.gateway.batching.idle import Idle
from penstock.gateway.batching.threads import Threads
from penstock.gateway.front import Front
from penstock.gateway.settings import BatchSettings, Settings
from penstock.ground.clock import Clock
from penstock.registry.batches.contents import Contents
from penstock.registry.stores.batches import BatchStore


@dataclass(frozen=True, slots=True)
class Kit:
    """What all runners of a gateway work with."""

    settings: Settings
    told: BatchSettings
    front: Front
    admission: Admission
    idle: Idle
    store: BatchStore
    contents: Contents
    owner: str
    wall: Clock
    clock: Clock
    threads: Threads = field(default_factory=Threads)
    ended: dict[tuple[str, str], int] = field(default_factory=dict)
    """Lines that were answered, by tenant and by whether that went well."""
