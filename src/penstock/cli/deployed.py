"""Which of `status`, `logs` and `invoke` is meant: a stack on this machine, or one in AWS.

A manifest that is named decides by its target. Without one, a stack that runs here comes first,
then `./penstock.yaml`, where it is for SageMaker.
"""

from pathlib import Path
from typing import Annotated

import typer

from penstock.manifest.loader import DEFAULT_FILE
from penstock.manifest.loader import load as load_manifest
from penstock.manifest.model import Manifest
from penstock.targets.local.state import find_directory, read_state

File = Annotated[
    Path | None,
    typer.Option("--file", metavar="MANIFEST", help="The manifest whose deployment is meant."),
]


def find_deployed(file: Path | None, folder: Path) -> Manifest | None:
    """The manifest of the deployment in AWS that is meant; none where a local stack is."""
    if file is None and read_state(find_directory(folder)) is not None:
        return None
    path = file or folder / DEFAULT_FILE
    if file is None and not path.is_file():
        return None
    manifest = load_manifest(path)
    return manifest if manifest.target.kind == "sagemaker" else None
