"""`docs/manifest.md`, made from the model (`penstock schema --markdown`)."""

from penstock.manifest.fields import ANY_NAME, ManifestField, all_fields, flow

_HEAD = """\
# penstock.yaml

<!-- Made by `penstock schema --markdown`; change src/penstock/manifest/ instead. -->

Every key is optional, and a key without a value means its default: the smallest valid file is
empty. Unknown keys and settings that would have no effect are errors. `penstock init` writes a
commented file, `penstock validate` checks one, `penstock schema` prints a JSON Schema for editors.

The file is YAML 1.2: `true` and `false` are the only truth values, so `no` and `12:30` are
strings. Tags and merge keys (`<<`) are refused.

Secrets never stand in the file. Where a field takes a reference, write `${env:NAME}` for an
environment variable, or `${secret:ARN}` for a secret in AWS Secrets Manager.
"""


def render() -> str:
    """The whole page: a table for the top of the file and one for each section."""
    fields = all_fields()
    parents = dict.fromkeys(field.path[:-1] for field in fields)
    tables = []
    for parent in parents:
        rows = [_row(field) for field in fields if field.path[:-1] == parent]
        title = ".".join(parent) if parent else "Top level"
        about = next((field.meaning for field in fields if field.path == parent), "")
        if parent and parent[-1] == ANY_NAME:
            about = "Keys of each entry."
        head = f"## {title}\n\n" + (f"{about}\n\n" if about else "")
        tables.append(
            head + "| key | takes | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows)
        )
    return _HEAD + "\n" + "\n\n".join(tables) + "\n"


def _row(field: ManifestField) -> str:
    takes = " or ".join(f"`{choice}`" for choice in field.choices) or field.takes
    if field.keys:
        default = "see below"
    elif field.default is None:
        default = f"none (example: `{flow(field.example)}`)"
    else:
        default = f"`{flow(field.default)}`"
    cells = (f"`{field.path[-1]}`", takes, default, field.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
