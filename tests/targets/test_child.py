"""A process on a leash, as its supervisor sees it; see test_leash and test_supervisor too."""

import os
import signal

import pytest

from penstock.targets.local.child import Child, Fate


class Killed:
    """A leash that was killed."""

    async def wait(self) -> int:
        return -signal.SIGKILL


@pytest.mark.parametrize(("pid", "ended"), [(4711, [4711]), (0, [])])
async def test_a_killed_leash_takes_only_what_it_held(
    monkeypatch: pytest.MonkeyPatch, pid: int, ended: list[int]
) -> None:
    """Group 0 is our own: so much is known of a process before its leash has said its id."""
    groups: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _: groups.append(group))
    fate = await Child(Killed(), pid).wait()  # type: ignore[arg-type]
    assert fate == Fate(signal=signal.SIGKILL)
    assert groups == ended
