"""The JSON Schema of `penstock.yaml`, for editors that complete and check while one types."""

from collections.abc import Iterator
from typing import Any

from penstock.manifest.meanings import meanings
from penstock.manifest.model import Manifest
from penstock.manifest.section import Section

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTITY = "urn:penstock:manifest"


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12): types, limits, choices, defaults, examples and meanings.

    What one field cannot tell about another is checked by `penstock validate` alone.
    """
    schema = Manifest.model_json_schema()
    known = {section.__name__: section for section in _sections(Section)}
    for title, part in (("Manifest", schema), *schema["$defs"].items()):
        for name, meaning in meanings(known[title]).items():
            part["properties"][name]["description"] = meaning
    for section in (schema, *schema["$defs"].values()):
        section["properties"] = {
            name: _blank_allowed(field) for name, field in section["properties"].items()
        }
    return {"$schema": DIALECT, "$id": IDENTITY, **schema, "title": "penstock.yaml"}


def _sections(kind: type[Section]) -> Iterator[type[Section]]:
    for each in kind.__subclasses__():
        yield each
        yield from _sections(each)


def _blank_allowed(field: dict[str, Any]) -> dict[str, Any]:
    """`field`, also empty: a key without a value means the default."""
    kept = [key for key in ("description", "examples", "default") if key in field]
    about = {key: field.pop(key) for key in kept}
    field.pop("title", None)
    if "$ref" in field:
        about.pop("default")
    kinds = [kind for kind in field.get("anyOf", [field]) if kind != {"type": "null"}]
    return about | {"anyOf": [*kinds, {"type": "null"}]}
