"""A defect in speaking with the server that counts: each is told once, and outlived."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest

from penstock.registry.counters import exchange
from penstock.registry.counters.exchange import Counters
from penstock.registry.counters.slices import Answer, Report


class Broken:
    """A server that answers, or brings out a defect while it is `broken`. Satisfies `Server`."""

    def __init__(self) -> None:
        self.broken, self.defect = True, Exception("one")
        self.failed = self.answered = 0

    async def exchange(
        self, replica: str, lease_s: float, number: int, reports: Sequence[Report]
    ) -> Answer:
        if self.broken:
            self.failed += 1
            raise self.defect
        self.answered += 1
        return Answer(1, 0, [])

    async def close(self) -> None:
        pass


async def _until(server: Broken, kind: str) -> None:
    most = getattr(server, kind) + 5
    for _ in range(20_000):
        if getattr(server, kind) >= most:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(kind)


async def test_a_defect_is_told_once_each_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exchange, "_BEAT_S", 0.001)
    monkeypatch.setattr(exchange, "_BEAT_ALONE_S", 0.001)
    server = Broken()
    (work,) = Counters(server, "one").loops()
    task = asyncio.ensure_future(work)
    await _until(server, "failed")
    assert caplog.text.count("the counters failed") == caplog.text.count("Traceback") == 1
    server.defect = Exception("another")
    await _until(server, "failed")
    assert caplog.text.count("the counters failed") == 2, "another one is not hidden by the first"
    server.broken = False
    await _until(server, "answered")
    assert caplog.text.count("the counters work again") == 1
    server.broken = True
    await _until(server, "failed")
    assert caplog.text.count("the counters failed") == 3
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
