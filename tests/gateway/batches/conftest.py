"""The engine of most tests of batches: it counts what it computes, and keeps a journal of it."""

from collections.abc import Iterator

import pytest
from tests.fakes.counting_engine import CountingEngine, counting_engine


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[CountingEngine]:
    """It takes its module's `PAUSE_S` for each token, or no time."""
    with counting_engine() as running:
        running.pause_s = getattr(request.module, "PAUSE_S", running.pause_s)
        yield running
