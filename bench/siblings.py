"""Whether the two cores are one: how much a loop on one slows down while the other is busy."""

import subprocess
import sys
import time

from bench.stand import Cores

_LOOP = """
import sys, time
end, turns = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    for _ in range(10_000):
        pass
    turns += 1
print(turns / time.process_time())
"""
_S = 0.5


def slowed(rounds: int) -> list[float]:
    """Return, a round, the speed beside a busy core over the speed alone; none where there is one.

    Speeds are turns a second of processor time: a core that is not given at all counts as such.
    """
    cores = Cores.choose()
    if cores.contender is None or cores.tools is None:
        return []
    ratios = []
    for _ in range(rounds):
        alone = _speed(_begin(cores.contender, _S))
        busy = _begin(cores.tools, 2 * _S)
        time.sleep(_S / 4)
        beside = _speed(_begin(cores.contender, _S))
        _speed(busy)
        ratios.append(beside / alone)
    return ratios


def _begin(core: str, seconds: float) -> "subprocess.Popen[str]":
    argv = Cores.pin(core, [sys.executable, "-c", _LOOP, str(seconds)])
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def _speed(process: "subprocess.Popen[str]") -> float:
    return float(process.communicate()[0])
