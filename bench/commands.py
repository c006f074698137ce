"""How long commands take that ask nobody, as a user waits for them: a process from start to end.

python -m bench.commands [--rounds 7]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MANIFEST = Path(__file__).parent.parent / "examples" / "front" / "penstock.yaml"
"""The largest of the examples: a front with everything, before components and adapters."""


def taken(command: Sequence[str], folder: str) -> tuple[float, float]:
    """Run `command`; returns the seconds that passed, and those of processor time."""
    before, since_s = _cpu_s(), time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                   check=True, env=_environment(folder))  # fmt: skip
    return time.perf_counter() - since_s, _cpu_s() - before


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment(folder: str) -> dict[str, str]:
    """Ours, with compiled modules in `folder`: an installation has them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": f"{folder}/compiled"}


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.commands", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "penstock --help": [*_penstock(), "--help"],
        "penstock plan": [*_penstock(), "plan", str(MANIFEST)],
        "penstock render": [*_penstock(), "render", str(MANIFEST)],
    }
    for name, command in commands.items():
        with tempfile.TemporaryDirectory() as folder:
            taken(command, folder)
            seen = [taken(command, folder) for _ in range(rounds)]
        wall_s, cpu_s = zip(*seen, strict=True)
        print(
            f"{name:16} {statistics.median(wall_s):.2f} s "
            f"({min(wall_s):.2f} to {max(wall_s):.2f}), "
            f"{min(cpu_s):.2f} s of processor time at least"
        )
    return 0


def _penstock() -> list[str]:
    return [sys.executable, "-m", "penstock.cli.app"]


if __name__ == "__main__":
    raise SystemExit(main())
