"""The commented `penstock.yaml` that `penstock init` writes, made from the model."""

from textwrap import wrap

from penstock.manifest.fields import ANY_NAME, ManifestField, all_fields, flow

_WIDTH = 92
_HEAD = """\
# What Penstock serves, and how. Every setting is optional: a line that starts with '#' and has
# no blank after it shows a default, or an example where there is none. Remove the '#' to set it.
# Check this file with `penstock validate`, then start with `penstock up`.
"""


def render(name: str) -> str:
    """The text of a new manifest for the stack `name`; valid as it stands."""
    fields = [field for field in all_fields() if field.path != ("name",)]
    blocks = [f"name: {name}", *(_block(field) for field in fields)]
    return _HEAD + "\n" + "\n".join(blocks) + "\n"


def _block(field: ManifestField) -> str:
    indent = "  " * (len(field.path) - 1)
    gap = "\n" if len(field.path) == 1 else ""
    choices = f" One of: {', '.join(field.choices)}." if field.choices else ""
    lines = wrap(field.meaning + choices, _WIDTH - len(indent))
    comment = "".join(f"{indent}# {line}\n" for line in lines)
    return gap + comment + _setting(field, indent)


def _setting(field: ManifestField, indent: str) -> str:
    key = field.path[-1]
    off = "#" if ANY_NAME in field.path else ""  # it stands below a name that is switched off
    if field.keys:
        return f"{indent}{off}{key}:"
    if _holds_sections(field):
        return f"{indent}{off}{key}:\n{indent}  #{next(iter(field.example))}:"
    if field.path == ("adapters",):
        return f"{indent}{key}:\n{indent}  #" + flow(field.example).strip("{}")
    value = field.example if field.default in (None, [], {}) else field.default
    return f"{indent}#{key}: {flow(value)}"


def _holds_sections(field: ManifestField) -> bool:
    return any(other.path[:-1] == (*field.path, ANY_NAME) for other in all_fields())
