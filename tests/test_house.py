"""The floors and ceilings of the house, and what must not be found in it."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path("src/penstock")
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
FORBIDDEN = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_CALLS = {
    "list",
    "dict",
    "set",
    "deque",
    "defaultdict",
    "OrderedDict",
    "Counter",
    "bytearray",
}

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def read(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def functions(file: Path) -> Iterator[Function]:
    return (node for node in ast.walk(read(file)) if isinstance(node, Function))


def test_imports_run_downwards_only() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command
    done = subprocess.run([command, "--no-cache"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@each_file
def test_a_file_is_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@each_file
def test_a_function_fits_a_screen(file: Path) -> None:
    long = {
        each.name: each.end_lineno - each.lineno + 1
        for each in functions(file)
        if each.end_lineno and each.end_lineno - each.lineno >= MAX_FUNCTION_LINES
    }
    assert long == {}


@each_file
def test_imports_stand_at_the_top(file: Path) -> None:
    """`wiring/` alone may import late, so that each command starts with what it needs."""
    late = [
        each.name
        for each in functions(file)
        for node in ast.walk(each)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert late == [] or file.parent == SOURCE / "wiring"


@each_file
def test_modules_hold_no_mutable_state(file: Path) -> None:
    """A module may name a constant table in capitals; anything else that can change is state."""
    tree = read(file)
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)]
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if _is_mutable(node.value):
            assert all(name.strip("_").isupper() for name in names), names


def _is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        called = value.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        return name in MUTABLE_CALLS
    return isinstance(value, MUTABLE)


@each_file
def test_names_say_something(file: Path) -> None:
    names = [part.removesuffix(".py") for part in file.relative_to(SOURCE).parts]
    names += [
        node.name for node in ast.walk(read(file)) if isinstance(node, Function | ast.ClassDef)
    ]
    assert [name for name in names if _words(name) & FORBIDDEN] == []


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_a_room_is_only_a_room() -> None:
    """An `__init__.py` is empty: whoever wants something names the file that holds it."""
    assert [file for file in FILES if file.name == "__init__.py" and file.read_bytes()] == []


def test_no_file_has_the_name_of_a_folder_beside_it() -> None:
    assert [file for file in FILES if any(file.with_suffix("").glob("*.py"))] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("KeyManager", {"key", "manager"}),
        ("http_utils", {"http", "utils"}),
        ("URLSet", {"url", "set"}),
    ],
)
def test_names_are_taken_apart(name: str, words: set[str]) -> None:
    assert _words(name) == words
