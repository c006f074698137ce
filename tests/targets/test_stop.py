"""Ending a stack from outside."""

import signal
from pathlib import Path

from tests.fakes.marked import Marked, wait_until

from penstock.targets.local.stop import stop


def test_nothing_to_stop(tmp_path: Path) -> None:
    assert stop(tmp_path) is None


def test_a_supervisor_that_does_not_react_is_killed(marked: Marked) -> None:
    supervisor = marked.supervise("family")
    marked.until("stack ready")
    supervisor.send_signal(signal.SIGUSR1)
    ended = stop(marked.directory, patience_s=0.3)
    assert ended is not None
    assert ended.pid == supervisor.pid
    assert supervisor.wait(timeout=60) == -signal.SIGKILL
    wait_until(lambda: marked.processes() == [])
