"""The stand-in as a process of its own, which ends with the one that started it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from penstock.ground.errors import PenstockError


class Process:
    """A running stand-in; `said` is its line: url, region, account, credentials, folder."""

    def __init__(self, folder: Path, scale: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "stand-in.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "penstock.rehearsal", "--state", str(folder),
                 "--scale", str(scale), "--with-parent"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101  asked for above
        line = self._process.stdout.readline()
        if not line:
            raise PenstockError("the stand-in for AWS did not start", where=str(self.log))
        self.said: dict[str, Any] = json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it and all engines."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
