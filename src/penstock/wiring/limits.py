"""Who is let in, and when: admission with its limits, and the queue before full engines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.gateway.admission import Admission
    from penstock.gateway.fleet import Fleet
    from penstock.gateway.queueing import Lines
    from penstock.gateway.settings import Settings


def open_admission(settings: Settings, fleet: Fleet) -> tuple[Admission, Lines | None]:
    """Return the admission, and the queues of its models where there are some."""
    from penstock.gateway.admission import Admission
    from penstock.gateway.queueing import Lines

    lines = Lines(settings.queue) if settings.queue else None
    queue = lines.of if lines else None
    return Admission(settings, fleet, clock=time.monotonic, wall=time.time, lines=queue), lines
