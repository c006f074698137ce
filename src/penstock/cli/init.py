"""`penstock init`: a commented manifest to start from."""

import re
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.output import AsJson, note, print_json, print_text
from penstock.ground.errors import UserError
from penstock.manifest import template
from penstock.manifest.loader import DEFAULT_FILE
from penstock.manifest.model import Manifest

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into; made if new.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a penstock.yaml that is there.")]


def command(folder: Folder = Path(), force: Force = False, as_json: AsJson = False) -> None:
    """Write a commented penstock.yaml.

    It is valid as it stands and changes nothing: every setting in it is a default.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder")
    file = folder / DEFAULT_FILE
    text = template.render(_stack_name(folder.resolve().name))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        what = f"{error.filename} is there already"
        raise UserError(what, fix="Add --force to overwrite it.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be written", why=error.strerror or str(error)) from error
    if as_json:
        print_json({"file": str(file)})
    else:
        print_text(f"Wrote {file}.")
        note(f"Next: penstock validate {file}, then penstock up")


def _stack_name(folder: str) -> str:
    """The folder's name as a stack's name, or the default where that is impossible."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:40].strip("-")
    default = str(Manifest.model_fields["name"].default)
    return name if re.fullmatch(r"[a-z][a-z0-9-]*[a-z0-9]", name) else default
