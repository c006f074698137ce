"""What each field of a section means: the docstring below it, read from the source when asked.

Pydantic can read them while it makes the classes (`use_attribute_docstrings`), but that parses
every file again for every class, which each command would wait for and few need.
"""

import ast
import inspect
from functools import cache
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel


def meanings(section: type[BaseModel]) -> dict[str, str]:
    """The docstring of each field of `section`, by the field's name."""
    found: dict[str, str] = {}
    for kind in reversed(section.__mro__):
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            found |= _file(inspect.getfile(kind)).get(kind.__qualname__, {})
    return found


@cache
def _file(path: str) -> dict[str, dict[str, str]]:
    """The docstrings of all fields of all classes of a file, by class and field."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {each.name: dict(_fields(each)) for each in classes}


def _fields(section: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (field.target.id, inspect.cleandoc(below.value.value))
        for field, below in pairwise(section.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    ]
