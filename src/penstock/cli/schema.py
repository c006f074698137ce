"""`penstock schema`: the manifest's JSON Schema, or its documentation."""

import json
from typing import Annotated

import typer

from penstock.cli.output import AsJson, print_json, print_text
from penstock.manifest import markdown
from penstock.manifest.schema import json_schema

AsMarkdown = Annotated[
    bool, typer.Option("--markdown", help="Print the documentation page (docs/manifest.md).")
]


def command(as_markdown: AsMarkdown = False, as_json: AsJson = False) -> None:
    """Print the JSON Schema of penstock.yaml.

    Save it and name it in your editor's YAML settings, to complete and check while you type.
    """
    if as_markdown:
        page = markdown.render()
        print_json({"markdown": page}) if as_json else print_text(page.rstrip("\n"))
    elif as_json:
        print_json(json_schema())
    else:
        print_text(json.dumps(json_schema(), indent=2, ensure_ascii=False))
