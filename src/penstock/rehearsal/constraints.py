"""Whether parameters are what botocore's service model says: types, ranges, patterns, names."""

import re
from typing import Any

from botocore.model import Shape
from botocore.validate import ParamValidator

from penstock.rehearsal.refusals import invalid


def check(parameters: dict[str, Any], shape: Shape | None) -> None:
    """Raise ValidationException with every violation, worded as AWS words them."""
    if shape is None:
        return
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise invalid(report.generate_report())
    flaws = list(_flaws(parameters, shape, ""))
    if flaws:
        count = f"{len(flaws)} validation error{'s' if len(flaws) > 1 else ''} detected: "
        raise invalid(count + "; ".join(flaws))


def _flaws(value: Any, shape: Shape, path: str) -> Any:
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from _flaws(member, shape.members[name], _below(path, name))
    elif shape.type_name == "list":
        for index, member in enumerate(value, start=1):
            yield from _flaws(member, shape.member, f"{path}.{index}.member")
    elif shape.type_name == "map":
        for name, member in value.items():
            yield from _flaws(member, shape.value, f"{path}.{name}.member")
    elif rule := _broken_rule(value, shape):
        yield (
            f"Value '{value}' at '{path}' failed to satisfy constraint: Member must satisfy {rule}"
        )


def _broken_rule(value: Any, shape: Shape) -> str:
    limits = shape.metadata
    if isinstance(value, str):
        if (allowed := limits.get("enum")) and value not in allowed:
            return f"enum value set: [{', '.join(allowed)}]"
        if (most := limits.get("max")) and len(value) > most:
            return f"length less than or equal to {most}"
        if (pattern := limits.get("pattern")) and not _matches(pattern, value):
            return f"regular expression pattern: {pattern}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if (most := limits.get("max")) is not None and value > most:
            return f"value less than or equal to {most}"
        if (least := limits.get("min")) is not None and value < least:
            return f"value greater than or equal to {least}"
    return ""


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:
        return True  # Java's dialect: \p{...} classes are unknown to Python


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name[:1].lower() + name[1:]
