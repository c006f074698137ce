"""Runs a fake MCP server as a process of its own, over any of the transports."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
from tests.fakes import mcp_tools
from tests.fakes.held_port import HeldPort

from penstock.chat.tools.described import SourceSettings

FAKE = Path(mcp_tools.__file__)
KINDS = ("stdio", "http", "sse")


class McpProcess:
    """A server over `kind`; over HTTP it can be killed and started again at the same port."""

    def __init__(self, kind: str, notes: Path, program: Path = FAKE) -> None:
        self.kind, self._notes, self._program = kind, notes, program
        self._held = None if kind == "stdio" else HeldPort()
        self._process: subprocess.Popen[bytes] | None = None

    def told(self, **more: Any) -> SourceSettings:
        """Settings of a source over it."""
        if self.kind == "stdio":
            # The SDK starts it, with hardly anything of our environment.
            code = f"import os, runpy; os.environ['MCP_NOTES'] = {str(self._notes)!r}; "
            code += f"runpy.run_path({str(self._program)!r}, run_name='__main__')"
            return SourceSettings("fake", mcp_command=(sys.executable, "-c", code), **more)
        return SourceSettings("fake", mcp_url=self.url, private=True, **more)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/{'mcp' if self.kind == 'http' else 'sse'}"

    @property
    def _port(self) -> int:
        assert self._held is not None
        return self._held.number

    def noted(self) -> list[str]:
        """What the server wrote."""
        return self._notes.read_text().split() if self._notes.exists() else []

    def forget(self) -> None:
        """Begin the notes anew."""
        self._notes.unlink(missing_ok=True)

    def start(self) -> None:
        if self.kind == "stdio":
            return
        command = [sys.executable, str(self._program), self.kind, str(self._port)]
        environment = {**os.environ, "MCP_NOTES": str(self._notes)}
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self._listens():
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _listens(self) -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{self._port}/none", timeout=5)
        except httpx.TransportError:
            return False
        return True

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._held is not None:
            self._held.close()


async def until(ready: Callable[[], object], limit_s: float = 60.0) -> None:
    """Poll until `ready()` holds."""
    async with asyncio.timeout(limit_s):
        while not ready():  # noqa: ASYNC110 - it is asked, it does not tell
            await asyncio.sleep(0.01)
