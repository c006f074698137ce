"""What is shown while a stack starts, when stderr is no terminal."""

import pytest

from penstock.cli.progress import Progress
from penstock.ground.clock import FakeClock
from penstock.targets.local.event import STACK, Event, Phase


def test_waiting_is_told_now_and_then_with_its_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    with Progress(clock) as progress:
        progress(Event("engine", Phase.STARTING, "waiting until it is ready"))
        for second in range(1, 13):
            clock.advance(1)
            progress(Event("engine", Phase.STARTING, "waiting until it is ready", second))
        progress(Event("engine", Phase.READY, "ready"))
        progress(Event(STACK, Phase.READY, "serves"))
        progress(Event("engine", Phase.RESTARTING, "ended with signal SIGKILL; starts again"))
        clock.advance(60)
        progress(Event(STACK, Phase.STOPPING, "stops"))
        progress(Event("engine", Phase.STOPPING, "stops"))
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "engine: waiting until it is ready (0 s)",
        "engine: waiting until it is ready (5 s)",
        "engine: waiting until it is ready (10 s)",
        "engine: ready after 12.0 s",
        "engine: ended with signal SIGKILL; starts again",
        "stopping",
        "engine: stops (0 s)",
    ]
