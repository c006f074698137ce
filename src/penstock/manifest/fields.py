"""Every field of the manifest in one list: what errors, the template and the docs are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from penstock.manifest.meanings import meanings
from penstock.manifest.model import Manifest
from penstock.manifest.references import Secret
from penstock.manifest.section import Section

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file: `("tenants", "org-a", "models", 0)`."""

ANY_NAME = "<name>"
"""Stands in a field's path for a key that the user chooses."""


@dataclass(frozen=True, slots=True)
class ManifestField:
    """One key of `penstock.yaml`.

    `takes` says in words what it takes, `default` and `example` are plain YAML values,
    `choices` is empty unless the field is an enumeration, and `keys` holds the known keys of a
    section (empty for a plain value).
    """

    path: tuple[str, ...]
    meaning: str
    takes: str
    default: Any
    example: Any
    choices: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    secret: bool = False

    @property
    def dotted(self) -> str:
        """The path in the notation of messages: `model.id`."""
        return ".".join(self.path)


@cache
def all_fields() -> tuple[ManifestField, ...]:
    """Every field, parents before children, in the order of the model."""
    return tuple(_walk(Manifest, ()))


def find(path: Path) -> ManifestField | None:
    """The field that `path` belongs to: itself, or the nearest field above it."""
    found = None
    for field in all_fields():
        named = path[: len(field.path)]
        if len(named) == len(field.path) and all(
            mine in (ANY_NAME, given) for mine, given in zip(field.path, named, strict=True)
        ):
            found = field
    return found


def flow(value: Any) -> str:
    """`value` as YAML on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1000
    )
    return text.removesuffix("...\n").strip()


def dotted(path: Path) -> str:
    """`path` as messages write it: `tenants.org-a.models[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _walk(section: type[Section], path: tuple[str, ...]) -> Iterator[ManifestField]:
    told = meanings(section)
    for name, info in section.model_fields.items():
        here = (*path, name)
        kind = _without_none(info.annotation)
        inner = _section_of(kind)
        meaning = " ".join(told.get(name, "").split())
        yield _field(here, meaning, info, kind, inner if inner is kind else None)
        if inner:
            yield from _walk(inner, here if inner is kind else (*here, ANY_NAME))


def _field(
    path: tuple[str, ...],
    meaning: str,
    info: FieldInfo,
    kind: Any,
    section: type[Section] | None,
) -> ManifestField:
    default = info.get_default(call_default_factory=True, validated_data={})
    plain = _plain(default)
    examples = info.examples or [plain]
    secret = Secret in get_args(info.annotation)
    return ManifestField(
        path=path,
        meaning=meaning,
        takes="a reference, `${env:NAME}` or `${secret:ARN}`" if secret else _takes(kind, info),
        default=plain,
        example=examples[0],
        choices=tuple(get_args(kind)) if get_origin(kind) is Literal else (),
        keys=tuple(section.model_fields) if section else (),
        secret=secret,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return {}
    return list(value) if isinstance(value, tuple) else value


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        members = [kind for kind in get_args(annotation) if kind is not type(None)]
        if len(members) == 1:
            return _bare(members[0])
    return _bare(annotation)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def _section_of(kind: Any) -> type[Section] | None:
    if get_origin(kind) is dict:
        kind = get_args(kind)[1]
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _takes(kind: Any, info: FieldInfo) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if kind is str and any(getattr(rule, "min_length", 0) for rule in info.metadata):
        return "a string that is not empty"
    words = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    if kind in words:
        return words[kind] + _limits(info.metadata)
    if get_origin(kind) is tuple:
        return "a list of strings"
    if get_origin(kind) is dict and get_args(kind)[1] is str:
        return "a mapping of names to strings"
    return "a mapping"


def _limits(rules: Sequence[object]) -> str:
    limits = {
        name: getattr(rule, name)
        for rule in rules
        for name in ("ge", "gt", "le")
        if hasattr(rule, name)
    }
    if "gt" in limits:
        return f" above {limits['gt']}" + (f", at most {limits['le']}" if "le" in limits else "")
    if "ge" in limits:
        return f", {limits['ge']} " + (f"to {limits['le']}" if "le" in limits else "or more")
    return ""
