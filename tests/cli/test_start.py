"""Commands that ask nobody start light: their processor time, and what they load."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

FRONT = Path(__file__).parents[2] / "examples" / "front" / "penstock.yaml"
"""The largest of the examples."""
MOST = {"plan": 40.0, "render": 90.0}
"""Bare starts that a command may cost: a plan 0.4 s where Python takes 10 ms, a rendering 0.9 s;
0.25 and 0.6 s are measured."""
HEAVY = {
    *("asyncio", "boto3", "botocore", "cryptography", "httpx", "huggingface_hub", "jinja2", "mcp"),
    *("numpy", "prometheus_client", "sqlalchemy", "ssl", "starlette", "tokenizers", "uvicorn"),
}
"""What neither asks AWS nor serves has no need of."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled modules: an installation has them."""
    return tmp_path_factory.mktemp("compiled")


def cpu_s(*arguments: str, compiled: Path) -> float:
    """The least processor time of three runs, with compiled modules at hand."""
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
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


@pytest.mark.parametrize("name", MOST)
def test_it_costs_few_bare_starts(name: str, compiled: Path) -> None:
    """The tests of this room start in an empty folder, where `render` writes."""
    bare = cpu_s("-c", "pass", compiled=compiled)
    ours = cpu_s("-m", "penstock.cli.app", name, str(FRONT), compiled=compiled)
    assert ours / bare < MOST[name], f"{ours:.3f} s against {bare:.3f} s"


@pytest.mark.parametrize("name", MOST)
def test_it_loads_nothing_heavy(name: str) -> None:
    script = (
        "import json, sys; from penstock.cli.app import main; "
        f"code = main([{name!r}, {str(FRONT)!r}]); "
        "print(json.dumps([code, *sys.modules]), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, *loaded = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert f"penstock.cli.{name}" in loaded
    assert {module.split(".")[0] for module in loaded} & HEAVY == set()
