"""`penstock plan` starts light: its processor time against that of a bare Python."""

import os
import resource
import subprocess
import sys
from pathlib import Path

MANIFEST = """
model: {id: meta-llama/Llama-3.1-8B-Instruct}
target: {kind: ecs, region: us-east-1}
"""
MOST = 40.0
"""Bare starts that a plan may cost: 0.4 s where Python takes 10 ms; 0.25 s are measured."""


def cpu_s(*arguments: str, cache: Path) -> float:
    """The least processor time of three runs, with compiled modules at hand."""
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    taken = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, env=env, check=False
        )
        assert done.returncode == 0, done.stderr
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken[1:])


def test_a_plan_costs_few_bare_starts(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(MANIFEST)
    cache = tmp_path / "cache"
    bare = cpu_s("-c", "pass", cache=cache)
    plan = cpu_s("-m", "penstock.cli.app", "plan", str(file), cache=cache)
    assert plan / bare < MOST, f"{plan:.3f} s against {bare:.3f} s"
