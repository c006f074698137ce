"""Ports: free, taken, and by whom."""

import os
import socket
import sys

import pytest

from penstock.ground.errors import MachineError
from penstock.targets.local.ports import check_free, free_port, holder


def test_a_free_port_passes() -> None:
    check_free(f"http://127.0.0.1:{free_port()}", what="gateway", fix="")


def test_a_port_is_given_to_one_alone_and_can_be_listened_at() -> None:
    given = [free_port() for _ in range(500)]
    assert len(set(given)) == len(given), (
        "by chance, 500 of the kernel's ports hold twice the same"
    )
    for port in given[::50]:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_taken_port_is_told_with_its_holder_and_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"gateway cannot listen on port {port}") as caught:
            check_free(f"http://127.0.0.1:{port}", what="gateway", fix="Use another one")
        assert "in use" in str(caught.value)
        assert "Use another one" in str(caught.value)
        if sys.platform.startswith("linux"):
            assert holder(port).endswith(f"(pid {os.getpid()})")


def test_nobody_holds_a_free_port() -> None:
    assert holder(free_port()) == ""
