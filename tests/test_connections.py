"""A server of `tests/fakes` that ends leaves no connection behind, whenever one comes."""

import gc
import socket
import threading
import time
from contextlib import AbstractContextManager

import pytest
from tests.fakes.counting_engine import counting_engine
from tests.fakes.gateway_engine import ScriptedEngine, scripted_engine
from tests.fakes.paced_engine import PacedEngine, serve


def knock(port: int, until: threading.Event) -> None:
    """Connect again and again, until nobody listens or it is enough."""
    held: list[socket.socket] = []
    while not until.is_set() and len(held) < 60:
        try:
            held.append(socket.create_connection(("127.0.0.1", port), timeout=1))
        except OSError:
            break
    for each in held:
        each.close()


def engine_of(kind: str) -> AbstractContextManager[ScriptedEngine | PacedEngine]:
    if kind == "paced":
        return serve(PacedEngine())
    return scripted_engine() if kind == "scripted" else counting_engine()


@pytest.mark.parametrize("kind", ["scripted", "counting", "paced"])
def test_connections_that_come_as_it_ends_are_closed(kind: str) -> None:
    """What is left unclosed is an error of this test: warnings are, and garbage is collected."""
    for _ in range(6):
        enough = threading.Event()
        with engine_of(kind) as engine:
            port = int(engine.url.rpartition(":")[2])
            knocking = threading.Thread(target=knock, args=(port, enough))
            knocking.start()
            time.sleep(0.002)
        enough.set()
        knocking.join()
    del engine
    gc.collect()
