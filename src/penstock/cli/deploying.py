"""What the commands share that work on a deployment: its manifest, its record, its progress."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.output import note
from penstock.ground.errors import PenstockError
from penstock.targets.journal import FileJournal

if TYPE_CHECKING:
    from penstock.targets.sagemaker.deployer import Deployer

ManifestFile = Annotated[
    Path | None,
    typer.Argument(metavar="[MANIFEST]", help="The manifest; ./penstock.yaml if left out."),
]


class Lines:
    """Progress on stderr, a line at a time, with the seconds since the command began."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def __call__(self, text: str) -> None:
        """Show a line."""
        note(f"{time.monotonic() - self._began_s:7.1f} s  {text}")


def warn(cautions: Iterable[str]) -> None:
    """Say what whoever deploys should know before, on stderr."""
    for each in cautions:
        note(f"Mind: {each}.")


@contextmanager
def journal_of(
    deployer: Deployer, manifest_file: Path | None, command: str
) -> Iterator[FileJournal]:
    """The record of this run; says what an earlier one left, and closes it at a good end."""
    folder = (manifest_file.parent if manifest_file else Path.cwd()) / ".penstock"
    place = f"{deployer.account.identity.account}/{deployer.account.region}"
    journal = FileJournal(folder, deployer.manifest.name, place)
    if earlier := journal.unfinished():
        how = "failed" if earlier.failure else "was cut off"
        step = f" in: {earlier.step}" if earlier.step else ""
        note(f"`penstock {earlier.command}` of {earlier.began} {how}{step}. Going on.")
    journal.open(command)
    try:
        yield journal
    except PenstockError as error:
        journal.fail(error.what)
        raise
    except KeyboardInterrupt:
        note(
            "What AWS is at goes on. `penstock deploy` takes it up, `penstock destroy` removes it."
        )
        raise
    journal.close()
