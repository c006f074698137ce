"""Takes finished segments to a bucket, and removes them here when they are there.

Each goes with the head of its time, so that the bucket's heads never tell of lines that are not
there yet. While the bucket is away everything stays here, and is tried again with growing pauses.
"""

import fcntl
import logging
import os
import random
import threading
from pathlib import Path
from typing import Protocol

from penstock.ground.errors import StoreUnavailable
from penstock.registry.audit.chain import CLOSED, HEAD, HEADED

_EVERY_S, _MOST_S = 1.0, 60.0

log = logging.getLogger("penstock.audit")


class Sink(Protocol):
    """Where segments go."""

    def put(self, name: str, data: bytes) -> None:
        """Write an object.

        Raises:
            StoreUnavailable: it may not be there.
        """


class Shipper:
    """A thread that ships all chains of a folder; of several processes one does it at a time."""

    def __init__(self, chains: Path, sink: Sink, *, every_s: float = _EVERY_S) -> None:
        self._chains, self._sink, self._every_s = chains, sink, every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-shipper", daemon=True)
        self._failing = False
        self.shipped = self.failures = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ship what is finished, once; what fails stays here for the next gateway."""
        self._ending.set()
        self._thread.join()
        self._attempt(0.0)

    def waiting(self) -> list[Path]:
        """Return the finished segments that are still here, oldest first."""
        return sorted(self._chains.glob(f"*/*{CLOSED}"), key=lambda path: (path.name, path))

    def _run(self) -> None:
        pause_s = self._every_s
        while not self._ending.wait(pause_s):
            pause_s = self._attempt(pause_s)

    def _attempt(self, pause_s: float) -> float:
        try:
            self.ship()
        except (StoreUnavailable, OSError) as error:
            self.failures += 1
            if not self._failing:
                log.error("audit segments wait: %s", error)
            self._failing = True
            return min(_MOST_S, max(pause_s, self._every_s) * (1.5 + random.random()))  # noqa: S311
        if self._failing:
            log.warning("audit segments are shipped again")
        self._failing = False
        return self._every_s

    def ship(self) -> None:
        """Ship every finished segment.

        Raises:
            StoreUnavailable: some are left.
        """
        lock = os.open(self._chains / ".shipping", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in self.waiting():
                self._ship_one(path)
        except BlockingIOError:
            return  # another gateway ships
        finally:
            os.close(lock)

    def _ship_one(self, path: Path) -> None:
        chain = path.parent.name
        self._sink.put(f"{chain}/{path.name}", path.read_bytes())
        head = path.with_suffix(HEADED)
        if head.exists():
            self._sink.put(f"{chain}/{HEAD}", head.read_bytes())
        path.unlink()
        head.unlink(missing_ok=True)
        self.shipped += 1
