"""`penstock status` of a stack here, whose gateway is a stand-in."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from penstock.targets.local.state import RunState, birth, home, write_state


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[socket.socket]:
    """Where the gateway of a stack listens whose supervisor is this very process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        here = os.getpid(), birth(os.getpid())
        home(tmp_path).mkdir()
        write_state(
            tmp_path, RunState("demo", *here, "ready", url, "sk-1", "m", "", time.time(), ())
        )
        yield server


def test_a_gateway_that_stands_still_for_a_moment_serves(run: Run, gateway: socket.socket) -> None:
    def answer() -> None:
        asking, _ = gateway.accept()
        with asking:
            asking.recv(65536)
            time.sleep(2.5)  # longer than who asks a starting one waits
            asking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    ran = run("status", "--json")
    thread.join()
    assert ran.code == 0
    assert json.loads(ran.out)["serves"] is True


def test_a_gateway_that_is_gone_is_told(run: Run, gateway: socket.socket) -> None:
    gateway.close()
    ran = run("status")
    assert ran.code == 1
    assert "demo is degraded at" in ran.out
