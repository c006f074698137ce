"""A process that the stand-in starts: on a leash, so that it never outlives the stand-in."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from penstock.targets.local.child import LEASH, LOG_BYTES

GRACE_S = 1.0


class Leashed:
    """A running process; its output goes to `log`, in whose folder it works."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as own:
            self._leash = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LEASH), str(GRACE_S), str(log), str(LOG_BYTES),
                 *argv],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=own,
                env={**os.environ, **env}, cwd=log.parent, start_new_session=True,
            )  # fmt: skip

    @property
    def code(self) -> int | None:
        """Its exit code; none while it runs."""
        return self._leash.poll()

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._leash.poll() is None

    def begin_to_stop(self) -> None:
        """Tell it to end, and do not wait."""
        if self._leash.stdin:
            self._leash.stdin.close()

    def stop(self) -> None:
        """End it; the leash kills what does not end by itself."""
        self.begin_to_stop()
        self._leash.wait()
        if self._leash.stdout:
            self._leash.stdout.close()
