"""A real Valkey or Redis server for tests: private, on a free port, nothing kept on disk."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.fakes.held_port import HeldPort


class Valkey:
    """A server that can be killed, and started again with nothing in it."""

    def __init__(self, folder: str, port: int) -> None:
        self._folder, self.port = folder, port
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        assert program or pytest.fail("install valkey-server or redis-server: make servers")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                   "--appendonly", "no", "--dir", self._folder]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)

    @property
    def runs(self) -> bool:
        """Whether it was started and not killed; it may be too busy to answer."""
        return self._process is not None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                sock.sendall(b"PING\r\n")
                return sock.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None


@contextmanager
def valkey() -> Iterator[Valkey]:
    """A running server, ended and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        held = HeldPort()
        server = Valkey(folder, held.number)
        try:
            server.start()
            yield server
        finally:
            server.kill()
            held.close()
