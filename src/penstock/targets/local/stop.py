"""End the stack that runs in a directory, from outside."""

import os
import signal
import time
from pathlib import Path

from penstock.ground.clock import Clock, monotonic
from penstock.ground.errors import PenstockError
from penstock.targets.local.state import RunState, clear_state, read_state

POLL_S = 0.05


def stop(
    directory: Path, *, patience_s: float = 30.0, clock: Clock = monotonic
) -> RunState | None:
    """End it and wait until it is gone; returns what ran, or none when nothing did.

    After `patience_s` seconds the supervisor is killed; its leashes then end what it held.
    Raises PenstockError when it belongs to another user.
    """
    state = read_state(directory)
    if state is None:
        clear_state(directory)
        return None
    for number in (signal.SIGTERM, signal.SIGKILL):
        _send(state, number)
        deadline_s = clock() + patience_s
        while state.is_alive and clock() < deadline_s:
            time.sleep(POLL_S)
        if not state.is_alive:
            break
    clear_state(directory)
    return state


def _send(state: RunState, number: int) -> None:
    try:
        os.kill(state.pid, number)
    except ProcessLookupError:
        return  # it ended by itself
    except PermissionError as error:
        raise PenstockError(
            f"cannot end {state.name} (pid {state.pid})",
            why="it belongs to another user",
            fix="Run `penstock down` as that user",
        ) from error
