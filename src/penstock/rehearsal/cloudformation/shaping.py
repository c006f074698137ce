"""Properties of a template become parameters of a call: the same tree, named as the API does."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.model import Shape, StructureShape


class UnknownProperty(Exception):
    """A property that the stand-in cannot hand on, and will not ignore."""


def parameters(
    properties: Mapping[str, Any], shape: Shape | None, names: Mapping[str, str], kind: str
) -> dict[str, Any]:
    """Return the call's parameters; `names` says how properties are called that differ."""
    if not isinstance(shape, StructureShape):
        raise UnknownProperty(f"{kind}: the call takes no parameters")
    return {
        _member(names.get(key, key), shape, kind): _shaped(
            value, shape.members[_member(names.get(key, key), shape, kind)], names, f"{kind} {key}"
        )
        for key, value in properties.items()
    }


def _member(name: str, shape: Any, path: str) -> str:
    wanted = name.lower()
    for member in shape.members:
        if member.lower() == wanted:
            return str(member)
    raise UnknownProperty(f"{path}: the stand-in does not know the property {name}")


def _shaped(value: Any, shape: Any, names: Mapping[str, str], path: str) -> Any:
    if shape.type_name == "structure":
        return {
            _member(_renamed(names, shape, key), shape, path): _shaped(
                member,
                shape.members[_member(_renamed(names, shape, key), shape, path)],
                names,
                f"{path}.{key}",
            )
            for key, member in value.items()
        }
    if shape.type_name == "list":
        members = value if isinstance(value, list) else [value]
        return [_shaped(member, shape.member, names, path) for member in members]
    if shape.type_name == "map":
        if isinstance(value, list):  # tags, as CloudFormation lists them
            return {each["Key"]: str(each["Value"]) for each in value}
        return {key: _shaped(member, shape.value, names, path) for key, member in value.items()}
    return _scalar(value, shape.type_name)


def _renamed(names: Mapping[str, str], shape: Any, key: str) -> str:
    return names.get(f"{shape.name}.{key}", key)


def _scalar(value: Any, kind: str) -> Any:
    if kind == "string":
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else _text(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    if kind in {"integer", "long"}:
        return int(value)
    if kind in {"float", "double"}:
        return float(value)
    return value


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
