"""What is wrong with a manifest, in the user's terms; pydantic's sentences stay inside."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from penstock.manifest.document import Document
from penstock.manifest.fields import ANY_NAME, ManifestField, Path, all_fields, dotted, find, flow
from penstock.manifest.model import Manifest
from penstock.manifest.problems import Problem
from penstock.manifest.references import holds_secret, mentions
from penstock.manifest.section import NAME_PATTERN, NAME_RULE


def misplaced_secrets(parsed: Document, data: Any, path: Path = ()) -> Iterator[Problem]:
    """References where none is read, and what looks like a secret, anywhere in the file."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from misplaced_secrets(parsed, value, (*path, key))
    elif isinstance(data, tuple):
        for index, value in enumerate(data):
            yield from misplaced_secrets(parsed, value, (*path, index))
    elif isinstance(data, str):
        field = find(path)
        if field and field.secret:
            return
        if mentions(data):
            what = f"{dotted(path)} takes no reference, only secrets do ({_takers()})"
            yield Problem(parsed.spot(path), what, fix="Write the value.")
        elif holds_secret(data):
            yield Problem(
                parsed.spot(path),
                f"{dotted(path)} holds what looks like a secret",
                fix="Keep it in an environment variable, named where a reference is taken "
                f"({_takers()}). This one is no secret any more: replace it.",
            )


def _takers() -> str:
    return ", ".join(field.dotted for field in all_fields() if field.secret)


def tell_all(parsed: Document, error: ValidationError) -> list[Problem]:
    """One problem for each field pydantic complains about."""
    told: dict[Path, Problem] = {}
    for details in error.errors():
        path = _own_path(parsed, details["loc"])
        told.setdefault(path, _tell(parsed, path, details))
    return list(told.values())


def _own_path(parsed: Document, loc: tuple[int | str, ...]) -> Path:
    """Pydantic's `loc` without what is not in the file: names of union members, `[key]`."""
    path: Path = ()
    for part in loc:
        if (*path, part) in parsed.values:
            path = (*path, part)
    return path


def _tell(parsed: Document, path: Path, details: ErrorDetails) -> Problem:
    if details["type"] == "extra_forbidden":
        return _unknown_key(parsed, path)
    if details["loc"][-1] == "[key]":
        return _bad_name(parsed, path)
    spot, field, given = parsed.spot(path), find(path), details["input"]
    if field is None:
        return Problem(spot, f"{dotted(path)} is not understood: {details['msg']}")
    if field.secret:
        what = f"{field.dotted} takes a reference to a secret, never the secret itself"
        if isinstance(given, str) and mentions(given):
            what = f"{field.dotted} holds no whole reference"
        return Problem(spot, what, "Name an environment variable.", _example(field))
    if details["type"] == "string_pattern_mismatch":
        by_rule = details["ctx"]["pattern"] == NAME_PATTERN
        rule = NAME_RULE if by_rule else field.meaning.partition(": ")[2].rstrip(".")
        what = f"{dotted(path)} takes {rule}, not {_shown(given)}"
        return Problem(spot, what, example=_example(field))
    return _misfit(parsed, path, field, given)


def _misfit(parsed: Document, path: Path, field: ManifestField, given: Any) -> Problem:
    what = f"{dotted(path)} takes {_wanted(field, path)}, not {_shown(given)}"
    if nearest := _nearest_choice(field, given):
        example = f"{field.path[-1]}: {nearest}"
        return Problem(parsed.spot(path), what, f"Did you mean '{nearest}'?", example)
    return Problem(parsed.spot(path), what, _hint(field, given), _example(field))


def _unknown_key(parsed: Document, path: Path) -> Problem:
    spot = parsed.keys.get(path)
    *above, key = path
    section = find(tuple(above)) if above else None
    known = list(section.keys) if section else list(Manifest.model_fields)
    if section and not known:
        known = [f.path[-1] for f in all_fields() if f.path[:-1] == (*section.path, ANY_NAME)]
    inside = dotted(tuple(above)) or "the file"
    what = f"unknown key '{key}' in {inside}"
    nearest = get_close_matches(str(key).lower().replace("-", "_"), known, n=1)
    if not nearest:
        elsewhere = [f.dotted for f in all_fields() if f.path[-1] == key]
        fix = f"It belongs into {' or '.join(elsewhere)}." if elsewhere else ""
        return Problem(spot, what, fix=fix or f"Known keys: {', '.join(known)}.")
    prefix = (*section.path, ANY_NAME) if section and not section.keys else tuple(above)
    field = find((*prefix, nearest[0]))
    return Problem(spot, what, f"Did you mean '{nearest[0]}'?", _example(field) if field else "")


def _bad_name(parsed: Document, path: Path) -> Problem:
    return Problem(
        parsed.keys.get(path),
        f"'{path[-1]}' in {dotted(path[:-1])} is no usable name: it goes into addresses",
        fix=f"Use {NAME_RULE}.",
    )


def _wanted(field: ManifestField, path: Path) -> str:
    extra = path[len(field.path) :]
    if not extra:
        return field.takes
    if field.takes == "a list of strings" or field.takes.endswith("to strings"):
        return "a string"
    return "a string, number, true or false" if field.path[-1] == "speculative" else "a mapping"


def _nearest_choice(field: ManifestField, given: Any) -> str:
    if not isinstance(given, str):
        return ""
    return next(iter(get_close_matches(given.lower().replace("_", "-"), field.choices, n=1)), "")


def _hint(field: ManifestField, given: Any) -> str:
    if isinstance(given, str) and "number" in field.takes and _is_number(given):
        return "Remove the quotes."
    if isinstance(given, int | float) and "string" in field.takes:
        return "Put it in quotes."
    if isinstance(given, str) and given.lower() in ("yes", "no", "on", "off"):
        return "Write true or false." if field.takes == "true or false" else ""
    return ""


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _example(field: ManifestField) -> str:
    return f"{field.path[-1]}: {flow(field.example)}"


def _shown(value: Any) -> str:
    """A value as it may be repeated in a message: short, and no secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple | list):
        return "a list"
    if isinstance(value, str):
        shown = "a secret" if holds_secret(value) else f"'{value}'"
        return shown if len(shown) <= 60 else f"{shown[:57]}...'"
    return flow(value)
