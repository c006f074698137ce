"""`penstock validate`: every problem of a manifest at once."""

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import AsJson, note, print_json, print_text
from penstock.ground.wording import numbered
from penstock.manifest.loader import DEFAULT_FILE, examine
from penstock.manifest.model import Manifest
from penstock.manifest.problems import Problem, as_error

ManifestFile = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="The manifest; ./penstock.yaml if left out.")
]


def command(file: ManifestFile = None, as_json: AsJson = False) -> None:
    """Check a penstock.yaml and show every problem.

    Each problem comes with its line and column, what is wrong and how to mend it. With --json,
    stdout carries {"file", "valid", "problems": [{"line", "column", "what", "fix", "example"}]}.
    """
    named = file or DEFAULT_FILE
    manifest, problems = examine(named)
    if as_json:
        described = [_describe(problem) for problem in problems]
        print_json({"file": str(named), "valid": not problems, "problems": described})
    if manifest is None:
        raise as_error(problems, str(named))
    if not as_json:
        print_text(f"{named} is valid: {_summary(manifest)}.")
        note("Next: penstock up")


def _describe(problem: Problem) -> dict[str, object]:
    line, column = problem.spot or (None, None)
    told = {"what": problem.what, "fix": problem.fix, "example": problem.example}
    return {"line": line, "column": column, **told}


def _summary(manifest: Manifest) -> str:
    parts = [f"{manifest.served_model} by the {manifest.engine_kind} engine"]
    for count, noun in ((len(manifest.adapters), "adapter"), (len(manifest.tenants), "tenant")):
        if count:
            parts.append(numbered(count, noun))
    return f"{manifest.name} serves {', '.join(parts)}"
