"""How a source of keys from outside fares, for metrics and logs."""

import logging

from penstock.ground.clock import Clock

log = logging.getLogger("penstock.registry")


class SourceHealth:
    """Whether the last refresh of one source went well, and when one last did."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name, self._clock = name, clock
        self.up = False
        self._problem: str | None = None
        self._well_s = clock()

    @property
    def age_s(self) -> float:
        """Return the seconds since the last refresh that went well, or since the start."""
        return self._clock() - self._well_s

    def went_well(self) -> None:
        """The source was read as a whole."""
        if self._problem is not None:
            log.warning("keys of %s are read again", self.name)
        self.up, self._problem, self._well_s = True, None, self._clock()

    def failed(self, problem: str) -> None:
        """It was not, or not all of it; what was known stays. The same problem is told once."""
        if problem != self._problem:
            log.warning("keys of %s cannot be read, the known ones stay: %s", self.name, problem)
        self.up, self._problem = False, problem
