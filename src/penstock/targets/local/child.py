"""A process on a leash (see `leash.py`), as its supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from penstock.engines.launch import Launch
from penstock.ground.errors import MachineError

LEASH = Path(__file__).with_name("leash.py")
LOG_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fate:
    """How a process ended: an exit code, or the number of the signal that ended it."""

    code: int = 0
    signal: int = 0

    def __str__(self) -> str:
        if not self.signal:
            return f"exit code {self.code}"
        try:
            return f"signal {signal.Signals(self.signal).name}"
        except ValueError:
            return f"signal {self.signal}"


class Child:
    """A running process; `pid` is its own id and the id of its process group."""

    def __init__(self, leash: asyncio.subprocess.Process, pid: int) -> None:
        self.pid = pid
        self._leash = leash

    @classmethod
    async def start(cls, launch: Launch, *, log: Path, grace_s: float) -> Child:
        """Start `launch` with its output in `log`; it has `grace_s` to end when asked to."""
        with log.open("ab") as own:
            leash = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(LEASH), str(grace_s), str(log), str(LOG_BYTES),
                *launch.argv,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=own,
                env={**os.environ, **launch.env}, start_new_session=True,
            )  # fmt: skip
        assert leash.stdout is not None  # noqa: S101  asked for above
        try:
            line = await leash.stdout.readline()
        except asyncio.CancelledError:
            await cls(leash, 0).stop()
            raise
        if not line:
            await leash.wait()
            raise MachineError(f"cannot start {launch.argv[0]}", where=str(log))
        return cls(leash, int(line))

    async def wait(self) -> Fate:
        """Wait until it and everything it started has ended."""
        code = await self._leash.wait()
        if code < 0:  # the leash itself was killed: end what it held
            with contextlib.suppress(ProcessLookupError):
                if self.pid:  # 0 is our own group: it was killed before it had said
                    os.killpg(self.pid, signal.SIGKILL)
            return Fate(signal=-code)
        return Fate(signal=code - 128) if code > 128 else Fate(code)

    async def stop(self) -> Fate:
        """Ask it to end, kill it after its grace, and wait until nothing is left."""
        if self._leash.stdin is not None:
            self._leash.stdin.close()
        return await self.wait()

    def kill(self) -> None:
        """End it at once; `wait` or `stop` still tell when it is over."""
        if self._leash.returncode is None:
            self._leash.send_signal(signal.SIGQUIT)
