"""A system clock of its own for a process of the tests, by Debian's libfaketime.

What the process asks its C library for the time of day is moved by as much as is told, and that
can be told anew while it runs. Its monotonic clock stays the machine's, as when a clock is set.
"""

import os
from pathlib import Path
from typing import Self

import pytest


def _library() -> str:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else pytest.fail("install libfaketime: make servers")


class SystemClock:
    """The clock of the processes that are started with `variables`; ended after them."""

    def __init__(self, folder: Path, ahead_s: float) -> None:
        """`ahead_s` before the machine's; below 0 it is behind."""
        self._file = folder / "system-clock"
        self.set(ahead_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what libfaketime leaves of processes that were killed."""
        for path in Path("/dev/shm").glob("*faketime_s[he]m_*"):
            if not Path(f"/proc/{path.name.rpartition('_')[2]}").exists():
                path.unlink(missing_ok=True)

    def set(self, ahead_s: float) -> None:
        """Step to `ahead_s` before the machine's."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s:+.3f}", encoding="ascii")
        os.replace(new, self._file)

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to have this clock."""
        return {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else threads wait milliseconds for the interpreter where they wait microseconds.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }
