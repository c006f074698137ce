"""What a supervisor says while it works."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a service is in its life; also what `penstock status` shows."""

    STARTING = "starting"
    WARMING = "warming"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """A service is in `phase` for `elapsed_s` seconds; told at each change and every second.

    `service` is `stack` where the whole is meant: it is READY when clients may come.
    """

    service: str
    phase: Phase
    text: str
    elapsed_s: float = 0.0


Report = Callable[[Event], None]

STACK = "stack"
