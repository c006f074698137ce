"""The server's own loops, by a clock in hand."""

import asyncio
from typing import Any

import pytest
from tests.fakes.written_transport import WrittenTransport
from tests.gateway.gateway_process import settings_for

from penstock.ground.clock import FakeClock
from penstock.wiring.gateway import make_gateway


async def test_while_the_gateway_stood_still_no_client_was_too_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(100.0)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    server = make_gateway(settings_for({"engine": "http://127.0.0.1:9"}, body_timeout_s=3.0))
    config = server._server.config
    config.load()
    protocol: Any = config.http
    door, client = protocol(config, server._server.server_state, {}), WrittenTransport()
    door.connection_made(client)
    door.data_received(b"POST /v1/chat/completions HTTP/1.1\r\n")
    sweeping = asyncio.create_task(server._sweep())

    async def told_after(seconds: float) -> bytes:
        for _ in range(3):
            await asyncio.sleep(0)
        clock.advance(seconds)
        for _ in range(3):
            await asyncio.sleep(0)
        return client.written

    assert await told_after(60.0) == b""
    assert await told_after(1.0) == b""
    assert await told_after(1.0) == b""
    assert (await told_after(1.0)).startswith(b"HTTP/1.1 408 ")
    sweeping.cancel()
