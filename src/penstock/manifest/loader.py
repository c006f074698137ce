"""`penstock.yaml` -> `Manifest`, or one error with every problem in it.

The file is read as plain data with positions (`document.py`), held against the model by
pydantic, then against itself (`checks.py`).
"""

from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from pydantic import ValidationError

from penstock.manifest import document
from penstock.manifest.checks import check
from penstock.manifest.document import Document
from penstock.manifest.model import Manifest
from penstock.manifest.problems import Problem, as_error
from penstock.manifest.wording import misplaced_secrets, tell_all

DEFAULT_FILE = File("penstock.yaml")


def load(file: File | None = None, changes: Mapping[str, object] | None = None) -> Manifest:
    """The manifest in `file`, with `changes` from the command line laid over it.

    Without `file`, `penstock.yaml` in the working directory is read if it is there; otherwise
    every default applies. `changes` names fields with dots: `{"engine.kind": "vllm"}`; None as
    a value changes nothing.

    Raises:
        ManifestError: the file cannot be read, or something in it is wrong; one problem a line.
    """
    manifest, problems = examine(file, changes)
    if problems or manifest is None:
        raise as_error(problems, str(file or DEFAULT_FILE))
    return manifest


def examine(
    file: File | None = None, changes: Mapping[str, object] | None = None
) -> tuple[Manifest | None, list[Problem]]:
    """Like `load`, but problems come back as data; there is a manifest if there are none.

    Raises:
        ManifestError: the file cannot be read at all.
    """
    text = "" if file is None and not DEFAULT_FILE.exists() else None
    parsed = document.parse(document.read_text(file or DEFAULT_FILE) if text is None else text)
    problems = list(parsed.problems)
    if parsed.data is not None and not isinstance(parsed.data, dict):
        problems.append(_not_a_mapping(parsed))
    if problems and not isinstance(parsed.data, dict):
        return None, problems
    data = _overlay(parsed, changes or {})
    problems += misplaced_secrets(parsed, data)
    try:
        manifest = Manifest.model_validate(data, strict=True)
    except ValidationError as error:
        return None, problems + tell_all(parsed, error)
    found = check(manifest)
    problems += [
        Problem(parsed.spot(flaw.path), flaw.what, flaw.fix, flaw.example) for flaw in found
    ]
    return (None if problems else manifest), problems


def _not_a_mapping(parsed: Document) -> Problem:
    kind = "list" if isinstance(parsed.data, tuple) else "single value"
    return Problem(
        parsed.spot(()),
        f"the file holds a {kind}, not a mapping",
        fix="Write keys and values.",
        example="name: support-bot",
    )


def _overlay(parsed: Document, changes: Mapping[str, object]) -> dict[str, Any]:
    """The file's data with `changes` in it; what they replace loses its place in the file."""
    data: dict[str, Any] = dict(parsed.data or {})
    for dotted, value in changes.items():
        if value is None:
            continue
        *sections, key = dotted.split(".")
        inner = data
        for section in sections:
            held = inner.get(section)
            inner[section] = dict(held) if isinstance(held, dict) else {}
            inner = inner[section]
        inner[key] = value
        path = (*sections, key)
        parsed.keys.pop(path, None)
        parsed.values[path] = None
    return data
