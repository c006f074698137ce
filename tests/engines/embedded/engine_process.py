"""Starts the embedded engine as a process of its own, on a free port, and ends it."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Self

import httpx

START_S = 30.0


class EngineProcess:
    """A running engine. `url` is set once it listens; leaving the block terminates it."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "penstock.engines.embedded", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.url = ""
        self.log = ""

    def __enter__(self) -> Self:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line
            if found := re.search(r"http://[\d.]+:\d+", line):
                self.url = found[0]
                break
        assert self.url, self.log
        self.wait(self._answers)
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=60).status_code == 200
        except httpx.ConnectError:
            return False

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.end()

    def end(self) -> int:
        """Wait for the process to end; return its exit code."""
        try:
            code = self.process.wait(60)
        finally:
            self.process.kill()
            assert self.process.stderr is not None
            with self.process.stderr as rest:
                self.log += rest.read()
        return code

    def wait(self, condition: Callable[[], bool], limit_s: float = START_S) -> None:
        """Poll until `condition` holds."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, "it never became true"
            time.sleep(0.01)

    def metric(self, name: str) -> float:
        """Return the sum of a metric's samples."""
        text = httpx.get(f"{self.url}/metrics", timeout=60).text
        lines = [line for line in text.splitlines() if line.startswith(name)]
        assert lines, f"no metric {name}"
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Send JSON."""
        return httpx.post(self.url + path, json=body, timeout=60)
