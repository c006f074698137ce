"""What CloudFormation's own schemas say of a resource type (bundled with cfn-lint)."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from cfnlint.schema import ResourceNotFoundError
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from penstock.rehearsal.cloudformation.template import flaw

Schema = dict[str, Any]


@cache
def schema(kind: str, region: str) -> Schema:
    """Return the schema of a resource type; raises ValidationError where there is none."""
    try:
        return dict(PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema)
    except ResourceNotFoundError as error:
        raise flaw(f"Template format error: Unrecognized resource types: [{kind}]") from error


def check(name: str, kind: str, properties: Schema, region: str) -> None:
    """Raise ValidationError for properties that the type does not have, or that are missing."""
    whole = schema(kind, region)
    flaws = list(_flaws(properties, whole, whole, ""))
    if flaws:
        raise flaw(
            f"Properties validation failed for resource {name} ({kind}): {'; '.join(flaws)}"
        )


def create_only(kind: str, region: str) -> set[str]:
    """Return the properties whose change replaces the resource."""
    paths = schema(kind, region).get("createOnlyProperties") or ()
    return {path.removeprefix("/properties/") for path in paths if path.count("/") == 2}


def _flaws(value: Any, part: Schema, whole: Schema, path: str) -> Iterator[str]:
    while "$ref" in part:
        part = _resolve(part["$ref"], whole)
    if isinstance(value, list) and "items" in part:
        for index, member in enumerate(value):
            yield from _flaws(member, part["items"], whole, f"{path}/{index}")
    if not isinstance(value, dict) or "properties" not in part:
        return
    for key, member in value.items():
        if key in part["properties"]:
            yield from _flaws(member, part["properties"][key], whole, f"{path}/{key}")
        elif part.get("additionalProperties") is False and not part.get("patternProperties"):
            yield f"#{path}: extraneous key [{key}] is not permitted"
    for key in part.get("required") or ():
        if key not in value:
            yield f"#{path}: required key [{key}] not found"


def _resolve(reference: str, whole: Schema) -> Schema:
    found: Any = whole
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)
