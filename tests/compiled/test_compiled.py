"""The gateway as its image has it: what is hot is machine code, and does what its source says."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = files("penstock.targets.front") / "image"
ABOUT_MONEY = (
    "tests/gateway/test_charges.py",
    "tests/gateway/test_journal.py",
    "tests/gateway/test_line.py",
    "tests/registry/audit/test_minutes.py",
    "tests/registry/counters",
    "tests/registry/test_bank.py",
    "tests/registry/test_slots.py",
)
PLUGIN = """
from penstock.gateway import charges, front

def pytest_sessionfinish():
    assert charges.__file__.endswith(".so") and front.__file__.endswith(".so")
"""
ABOUT_THE_WAY = (
    "tests/engines/conduit",
    "tests/gateway/test_doorway.py",
    "tests/gateway/test_fleet.py",
    "tests/gateway/test_relay.py",
    "tests/gateway/test_trip.py",
    "tests/gateway/test_ways.py",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("compiled")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    with as_file(files("penstock")) as source:
        shutil.copytree(source, place / "penstock", ignore=ignored)
    with as_file(IMAGE / "compile.py") as script:
        done = subprocess.run(
            [sys.executable, str(script), str(place)],
            check=False,
            cwd=place,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    yield place
    shutil.rmtree(place)


def hot() -> tuple[str, ...]:
    tree = ast.parse((IMAGE / "compile.py").read_text(encoding="utf-8"))
    (told,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOT"
    ]
    modules: tuple[str, ...] = ast.literal_eval(told)
    return modules


def test_every_hot_module_is_machine_code(tree: Path) -> None:
    names = [f"penstock.{module.replace('/', '.')}" for module in hot()]
    script = f"from importlib import import_module as i\nfor n in {names}: print(i(n).__file__)"
    told = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=told, check=True, capture_output=True, text=True)
    found = done.stdout.split()
    assert len(found) == len(names) > 20
    assert all(path.startswith(str(tree)) and path.endswith(".so") for path in found), found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chosen", [ABOUT_MONEY, ABOUT_THE_WAY], ids=["money", "way"])
def test_it_passes_the_tests_of_its_source(tree: Path, chosen: tuple[str, ...]) -> None:
    (tree / "are_compiled.py").write_text(PLUGIN, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "are_compiled", *chosen]
    told = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, check=False, cwd=ROOT, env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize("module", hot())
def test_no_bound_of_a_slice_does_anything(module: str) -> None:
    """Compiled, it would do it twice."""
    source = (files("penstock") / f"{module}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Slice):
            for bound in (node.lower, node.upper, node.step):
                does = [] if bound is None else [n for n in ast.walk(bound) if _does(n)]
                assert not does, f"{module}: {ast.unparse(node)}"


def _does(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return not (isinstance(node.func, ast.Name) and node.func.id == "len")
    return isinstance(node, (ast.NamedExpr, ast.Await, ast.Yield))
