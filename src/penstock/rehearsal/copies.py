"""The engine processes of one variant or one inference component, grown and shrunk together."""

import itertools
import tarfile
import threading
import time
from pathlib import Path

from penstock.rehearsal.engines import EngineProcess
from penstock.rehearsal.refusals import AwsError

DRAIN_S, LOOK_S = 5.0, 0.02
"""How long engines that go may still answer, and how often that is looked at; of the wall."""


class Copies:
    """Engines that serve the same model; requests go round them."""

    def __init__(self, folder: Path, drain_s: float = DRAIN_S) -> None:
        self.folder, self._drain_s = folder, drain_s
        folder.mkdir(parents=True, exist_ok=True)
        self.logs: list[Path] = []
        """What every engine of it wrote, also those that have ended."""
        self.image, self.environment = "", dict[str, str]()
        self.adapters: dict[str, Path] = {}
        self.in_flight = 0
        self._engines: list[EngineProcess] = []
        self._turns, self._numbers = itertools.count(), itertools.count(1)
        self._changing, self._counting = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._engines)

    def resize(self, count: int) -> bool:
        """Start or end engines until there are `count`; false when one did not start."""
        with self._changing:
            surplus, self._engines = self._engines[count:], self._engines[:count]
            if surplus:
                self._drain()
            for engine in surplus:
                engine.begin_to_stop()
            for engine in surplus:
                engine.stop()
            wanted = count - len(self._engines)
            new = [
                EngineProcess(self.folder / f"{next(self._numbers)}.log") for _ in range(wanted)
            ]
            self.logs += [engine.log for engine in new]
            if not all(engine.wait_ready() for engine in new):
                for engine in new:
                    engine.stop()
                return False
            for engine in new:
                for name, folder in self.adapters.items():
                    engine.load_adapter(name, folder)
            self._engines += new
            return True

    def _drain(self) -> None:
        """Let requests end before the engines that answer them do, as SageMaker does."""
        until = time.monotonic() + self._drain_s
        time.sleep(LOOK_S)  # for one that has an engine already and is not counted yet
        while self.in_flight > 0 and time.monotonic() < until:
            time.sleep(LOOK_S)

    def next(self) -> EngineProcess | None:
        """Return the engine whose turn it is; none where there is none."""
        engines = [engine for engine in self._engines if engine.alive()]
        return engines[next(self._turns) % len(engines)] if engines else None

    def count(self, change: int) -> int:
        """Count a request that begins (1) or ends (-1); returns how many are in flight."""
        with self._counting:
            self.in_flight += change
            return self.in_flight

    def add_adapter(self, name: str, folder: Path) -> str:
        """Load an adapter on every copy; returns why it could not be, or nothing."""
        with self._changing:
            for engine in self._engines:
                if why := engine.load_adapter(name, folder):
                    return why
            self.adapters[name] = folder
            return ""

    def drop_adapter(self, name: str) -> None:
        """Unload an adapter on every copy."""
        with self._changing:
            self.adapters.pop(name, None)
            for engine in self._engines:
                engine.unload_adapter(name)

    def begin_to_stop(self) -> None:
        """Tell every engine to end, and do not wait."""
        for engine in self._engines:
            engine.begin_to_stop()

    def stop(self) -> None:
        """End every engine, once its requests have ended."""
        self.resize(0)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz into `folder`; raises AwsError for what is none."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise AwsError("ClientError", f"the artifact is not a .tar.gz: {error}") from error
