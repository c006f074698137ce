"""Real processes for tests, found by a mark in their arguments, so that none is left behind."""

import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil

PROGRAM = Path(__file__).with_name("local_stack.py")


def wait_until(true: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Marked:
    """Everything that was started for one test."""

    def __init__(self, directory: Path) -> None:
        self.mark = f"mark-{uuid.uuid4().hex}"
        self.directory = directory
        self.supervisor: subprocess.Popen[str] | None = None

    def processes(self, word: str = "") -> list[psutil.Process]:
        """The living ones, without the program that was started itself."""
        found = []
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
                alive = process.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            own = self.supervisor is not None and process.pid == self.supervisor.pid
            if alive and self.mark in line and not own and word in " ".join(line):
                found.append(process)
        return found

    def engines(self) -> list[psutil.Process]:
        """The service processes themselves, not their leashes."""
        return [
            one for one in self.processes("service_process") if "leash" not in str(one.cmdline())
        ]

    def supervise(self, engine: str = "good", gateway: str = "good") -> subprocess.Popen[str]:
        self.supervisor = subprocess.Popen(
            [
                *(sys.executable, str(PROGRAM), "supervise"),
                *(str(self.directory), self.mark, engine, gateway),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self.supervisor

    def until(self, words: str) -> str:
        """Read what the supervisor says until a line has `words`; everything read."""
        assert self.supervisor
        assert self.supervisor.stdout
        heard = ""
        for line in self.supervisor.stdout:
            heard += line
            if words in line:
                return heard
        raise AssertionError(f"it never said {words!r}:\n{heard}")

    def rest(self) -> str:
        """What else it says until it ends; its exit code is in `supervisor.returncode` then."""
        assert self.supervisor
        return self.supervisor.communicate(timeout=60)[0]

    def cli(self, *arguments: str, engine: str = "good") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROGRAM), "cli", self.mark, engine, "--", *arguments],
            capture_output=True,
            text=True,
            cwd=self.directory,
            timeout=120,
            check=False,
        )

    def end(self) -> None:
        """Kill whatever is left."""
        if self.supervisor:
            self.supervisor.kill()
            self.supervisor.communicate()
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
